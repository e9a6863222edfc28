package webpush

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
)

// Sizes of RFC 8188 and 8291, in bytes.
const (
	saltSize   = 16
	recordSize = 4096
	keySize    = 16
	nonceSize  = 12
	authSize   = 16
	// maxPlain is what fits into the one record that a push may have: without the
	// header, the tag and the delimiter.
	maxPlain = recordSize - (saltSize + 4 + 1 + 65) - 16 - 1
)

// Subscription is where a browser takes pushes, as PushSubscription.toJSON
// gives it.
type Subscription struct {
	Endpoint string `json:"endpoint"`
	Keys     struct {
		P256dh string `json:"p256dh"`
		Auth   string `json:"auth"`
	} `json:"keys"`
}

// decode64 reads base64url, with padding or without: browsers differ.
func decode64(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}

// encrypt seals a message for a subscription.
func encrypt(s Subscription, plain []byte) ([]byte, error) {
	ephemeral, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	return seal(s, plain, ephemeral, salt)
}

// seal is encrypt with its random parts given.
func seal(s Subscription, plain []byte, ephemeral *ecdh.PrivateKey, salt []byte) ([]byte, error) {
	if len(plain) > maxPlain {
		return nil, errors.New("the message is too long for a push")
	}
	raw, err := decode64(s.Keys.P256dh)
	if err != nil {
		return nil, err
	}
	browser, err := ecdh.P256().NewPublicKey(raw)
	if err != nil {
		return nil, err
	}
	auth, err := decode64(s.Keys.Auth)
	if err != nil || len(auth) != authSize {
		return nil, errors.New("the subscription's secret is malformed")
	}
	shared, err := ephemeral.ECDH(browser)
	if err != nil {
		return nil, err
	}
	ours := ephemeral.PublicKey().Bytes()
	// RFC 8291, section 3.4.
	material, err := hkdf.Key(sha256.New, shared, auth, "WebPush: info\x00"+string(raw)+string(ours), 32)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, material, salt, "Content-Encoding: aes128gcm\x00", keySize)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, material, salt, "Content-Encoding: nonce\x00", nonceSize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	out := append([]byte(nil), salt...)
	out = binary.BigEndian.AppendUint32(out, recordSize)
	out = append(out, byte(len(ours)))
	out = append(out, ours...)
	// 2 delimits the last record.
	return gcm.Seal(out, nonce, append(append([]byte(nil), plain...), 2), nil), nil
}

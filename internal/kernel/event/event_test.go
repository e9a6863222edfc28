package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

var recorded = time.Date(2026, 11, 2, 9, 0, 0, 123456789, time.UTC)

func sample() Draft {
	return Draft{
		ID: "42", Source: "github.com/acme/shop", Type: "change.pushed", Subject: "service/shop",
		Time: recorded.Add(-time.Hour), Actor: "user:ana", Cause: "41", Data: map[string]any{"commit": "abc"},
	}
}

// TestVector holds the chain to bytes written down once: whoever changes them
// makes every log that exists unverifiable.
func TestVector(t *testing.T) {
	e := Event{
		Position: 2, Stream: "change/1", Version: 1, ID: "42", Source: "github.com/acme/shop", Type: "change.pushed", Subject: "service/shop",
		Time: time.UnixMicro(1_793_610_000_123_456), Recorded: time.UnixMicro(1_793_613_600_123_456), Actor: "user:ana", Cause: "41",
		Data: []byte(`{"commit":"abc"}`), Salt: []byte("0123456789abcdef"),
	}
	e.Digest = digest(e.Salt, e.Data)
	if got, want := hex.EncodeToString(e.Digest), "ecf0af3e213912aaf4da98f4c072d721252e85bd72134ce0882c952a73e5585d"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	prev := bytes.Repeat([]byte{7}, 32)
	if got, want := hex.EncodeToString(hash(prev, e)), "b45514497b31ab56d3db7c84eb3010d3bb961d697731dc91c179607f6675bf47"; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
	if !bytes.Equal(hash(nil, e), hash(make([]byte, 32), e)) {
		t.Error("the chain does not begin with 32 zeros")
	}
	if twin := naiveHash(prev, e); !bytes.Equal(hash(prev, e), twin) {
		t.Errorf("hash %x, its naive twin %x", hash(prev, e), twin)
	}
}

// naiveHash is the hash as docs/event.md words it.
func naiveHash(prev []byte, e Event) []byte {
	var b bytes.Buffer
	b.Write(prev)
	for _, n := range []int64{e.Position, e.Version, e.Time.UnixMicro(), e.Recorded.UnixMicro()} {
		_ = binary.Write(&b, binary.BigEndian, n)
	}
	for _, s := range []string{e.Stream, e.ID, e.Source, e.Type, e.Subject, e.Actor, e.Cause} {
		_ = binary.Write(&b, binary.BigEndian, uint32(len(s)))
		b.WriteString(s)
	}
	b.Write(e.Digest)
	sum := sha256.Sum256(b.Bytes())
	return sum[:]
}

func TestRecordAndVerify(t *testing.T) {
	first, err := Record(Draft{Type: "note.taken", Actor: "user:ana"}, "a", 1, 1, recorded, nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.ID == "" || first.Source != "flyball" || first.Subject != "a" || string(first.Data) != "null" || len(first.Salt) != 16 ||
		!first.Time.Equal(first.Recorded) || !first.Recorded.Equal(recorded.Truncate(time.Microsecond)) {
		t.Fatalf("defaults: %+v", first)
	}
	second, err := Record(sample(), "change/1", 2, 1, recorded, first.Hash)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(first, 0, nil); err != nil {
		t.Fatal(err)
	}
	if err := Verify(second, 1, first.Hash); err != nil {
		t.Fatal(err)
	}
	erased := second
	erased.Data, erased.Salt, erased.Erased = nil, nil, true
	if err := Verify(erased, 1, first.Hash); err != nil {
		t.Fatalf("an erased event: %v", err)
	}
	again, _ := Record(sample(), "change/1", 2, 1, recorded, first.Hash)
	if bytes.Equal(again.Digest, second.Digest) {
		t.Fatal("equal payloads have equal digests: an erased one could be guessed")
	}
}

func TestVerifyFindsChanges(t *testing.T) {
	e, err := Record(sample(), "change/1", 2, 1, recorded, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	prev := bytes.Repeat([]byte{1}, 32)
	flip := func(b []byte) []byte { c := bytes.Clone(b); c[0] ^= 1; return c }
	for name, test := range map[string]struct {
		change func(*Event)
		want   string
	}{
		"position": {func(e *Event) { e.Position = 3 }, "follows position 1: there is a gap"},
		"version":  {func(e *Event) { e.Version++ }, "header"},
		"stream":   {func(e *Event) { e.Stream = "change/2" }, "header"},
		"shifted":  {func(e *Event) { e.ID, e.Source = "42g", "ithub.com/acme/shop" }, "header"},
		"type":     {func(e *Event) { e.Type = "change.pulled" }, "header"},
		"subject":  {func(e *Event) { e.Subject = "service/cart" }, "header"},
		"actor":    {func(e *Event) { e.Actor = "user:bob" }, "header"},
		"cause":    {func(e *Event) { e.Cause = "" }, "header"},
		"time":     {func(e *Event) { e.Time = e.Time.Add(time.Microsecond) }, "header"},
		"recorded": {func(e *Event) { e.Recorded = e.Recorded.Add(time.Microsecond) }, "header"},
		"payload":  {func(e *Event) { e.Data = flip(e.Data) }, "payload does not match"},
		"salt":     {func(e *Event) { e.Salt = flip(e.Salt) }, "payload does not match"},
		"digest":   {func(e *Event) { e.Digest = flip(e.Digest) }, "payload does not match"},
		"both":     {func(e *Event) { e.Data = flip(e.Data); e.Digest = digest(e.Salt, e.Data) }, "header"},
		"hash":     {func(e *Event) { e.Hash = flip(e.Hash) }, "header"},
		"erased":   {func(e *Event) { e.Erased = true }, "marked erased and still has a payload"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := e
			test.change(&changed)
			err := Verify(changed, 1, prev)
			if problem.KindOf(err) != problem.Internal || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "log corrupted at position") {
				t.Fatalf("got %v, want %q", err, test.want)
			}
		})
	}
	if err := Verify(e, 1, flip(prev)); err == nil {
		t.Fatal("an event verifies after another one than its own")
	}
}

func TestGeneratedIDs(t *testing.T) {
	at := func(d time.Duration) string {
		return Event{}.Place(1, 1, recorded.Add(d), nil).ID
	}
	if a, b := at(0), at(time.Microsecond); a[:11] >= b[:11] || len(a) != len(b) {
		t.Errorf("identifiers %s, %s do not grow with time", a, b)
	}
	if a, b := at(0), at(0); a == b {
		t.Error("identifiers repeat")
	}
}

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		wanted []string
		typ    string
		want   bool
	}{
		{nil, "x", true}, {[]string{"rollout."}, "rollout.started", true}, {[]string{"rollout."}, "rolloutx.started", false},
		{[]string{"rollout"}, "rollout.started", false}, {[]string{"a", "b"}, "b", true}, {[]string{""}, "x", false},
	} {
		if got := Matches(test.wanted, test.typ); got != test.want {
			t.Errorf("%q among %q: %v", test.typ, test.wanted, got)
		}
	}
}

// FuzzRecord: whatever is recorded verifies, survives being moved between
// fields in no form, and reads back.
func FuzzRecord(f *testing.F) {
	f.Add("a", "42", "src", "note.taken", "service/shop", "user:ana", "", "text", int64(0))
	f.Add("", "", "", "", "", "", "", "", int64(-62135596800000000))
	f.Add("s\x00", "\xff", strings.Repeat("x", MaxField+1), "t", "s", "a", "c", "\xff\x00", int64(1<<62))
	f.Fuzz(func(t *testing.T, stream, id, source, typ, subject, actor, cause, text string, micros int64) {
		prev := bytes.Repeat([]byte{3}, 32)
		d := Draft{ID: id, Source: source, Type: typ, Subject: subject, Actor: actor, Cause: cause, Time: time.UnixMicro(micros), Data: text}
		e, err := Record(d, stream, 2, 1, recorded, prev)
		if err != nil {
			if problem.KindOf(err) != problem.Invalid {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		if err := Verify(e, 1, prev); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(e.Hash, naiveHash(prev, e)) {
			t.Fatal("the hash differs from its naive twin")
		}
		got, err := Decode[string](e)
		if err != nil || got != strings.ToValidUTF8(text, "\ufffd") && !strings.ContainsRune(got, '\ufffd') {
			t.Fatalf("payload %q came back as %q, %v", text, got, err)
		}
		moved := e
		moved.ID, moved.Source = e.ID+e.Source, ""
		if e.Source != "" && Verify(moved, 1, prev) == nil {
			t.Fatal("a byte moved from one field to the next unnoticed")
		}
	})
}

// FuzzUnmarshal compares with encoding/json.
func FuzzUnmarshal(f *testing.F) {
	type inner struct {
		X []string          `json:"x,omitempty"`
		M map[string]any    `json:"m"`
		R json.RawMessage   `json:"r"`
		B []byte            `json:"b"`
		P map[int64]float64 `json:"p"`
	}
	type sample struct {
		inner
		Name string        `json:"name"`
		N    int64         `json:"n,string"`
		I    int8          `json:"i"`
		F    float32       `json:"f"`
		At   time.Time     `json:"at,omitzero"`
		D    time.Duration `json:"d"`
		Ptr  *inner        `json:"ptr"`
		Any  any           `json:"any"`
		Arr  [2]bool       `json:"arr"`
	}
	for _, seed := range []string{
		`{"name":"a","n":"7","i":1,"f":1.5,"at":"2026-11-02T09:00:00.123456Z","d":1000,"ptr":{"x":["a",null]},"any":[1,{"a":null}],"arr":[true]}`,
		`{"NAME":"case","m":{"a":1,"a":2},"r":{"x": 1},"b":"aGk=","p":{"1":2.5}}`, `{"name":null,"ptr":null,"arr":[true,true,true]}`,
		`null`, `[]`, `{`, `{"i":300}`, `{"name":"\ud800"}`, "{\"name\":\"\xff\"}", `{"at":"yesterday"}`, `{"n":7}`, `{"name":"a"} x`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want, got sample
		wantErr, gotErr := json.Unmarshal(data, &want), Unmarshal(data, &got)
		if (wantErr == nil) != (gotErr == nil) {
			t.Fatalf("%q: %v, encoding/json says %v", data, gotErr, wantErr)
		}
		if wantErr == nil && !reflect.DeepEqual(want, got) {
			t.Fatalf("%q: %+v, encoding/json says %+v", data, got, want)
		}
	})
}

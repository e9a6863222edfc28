package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/flyball-dev/flyball/internal/port/probe"
)

var dnsTypes = map[string]dnsmessage.Type{
	"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "CNAME": dnsmessage.TypeCNAME, "MX": dnsmessage.TypeMX, "NS": dnsmessage.TypeNS, "TXT": dnsmessage.TypeTXT,
}

// dns asks the name server that was declared, by UDP, and by TCP when the
// answer is too long for that (RFC 1035, RFC 7766).
func (p *Prober) dns(ctx context.Context, c probe.Check) (found, error) {
	question, id, err := dnsQuestion(c)
	if err != nil {
		return found{}, err
	}
	reply, err := p.exchange(ctx, "udp", c.Server, question, id)
	if err == nil && truncatedReply(reply) {
		reply, err = p.exchange(ctx, "tcp", c.Server, question, id)
	}
	if err != nil {
		return found{}, err
	}
	code, answers, err := dnsAnswers(reply, dnsTypes[c.Type])
	if err != nil {
		return found{}, err
	}
	f := found{answer: strings.Join(answers, " ")}
	switch {
	case code != dnsmessage.RCodeSuccess:
		f.answer = strings.TrimPrefix(code.String(), "RCode")
		f.bad = "the name server says " + f.answer
	case len(answers) == 0:
		f.bad = fmt.Sprintf("there is no %s record", c.Type)
	case len(c.Answer) > 0 && !slices.ContainsFunc(c.Answer, func(want string) bool { return slices.Contains(answers, want) }):
		f.bad = fmt.Sprintf("the answer is %s, not %s", f.answer, strings.Join(c.Answer, " or "))
	}
	return f, nil
}

func dnsQuestion(c probe.Check) (packed []byte, id uint16, err error) {
	typ, ok := dnsTypes[c.Type]
	name, err := dnsmessage.NewName(strings.TrimSuffix(c.Target, ".") + ".")
	if err != nil || !ok {
		return nil, 0, fmt.Errorf("%s %s cannot be asked for", c.Type, c.Target)
	}
	id = uint16(rand.Uint32())
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: typ, Class: dnsmessage.ClassINET}},
	}
	packed, err = m.Pack()
	return packed, id, err
}

// exchange sends a question and waits for the reply to it.
func (p *Prober) exchange(ctx context.Context, network, server string, question []byte, id uint16) ([]byte, error) {
	conn, err := p.dialer.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if network == "tcp" {
		return overTCP(conn, question)
	}
	if _, err := conn.Write(question); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		// Another reply, late or forged, is passed over.
		if n >= 12 && binary.BigEndian.Uint16(buf) == id {
			return buf[:n], nil
		}
	}
}

func overTCP(conn net.Conn, question []byte) ([]byte, error) {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(question)))
	if _, err := conn.Write(append(framed, question...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(conn, reply)
	return reply, err
}

func truncatedReply(reply []byte) bool { return len(reply) > 2 && reply[2]&2 != 0 }

// dnsAnswers are the answers of a type in a reply, as text, at most a hundred.
func dnsAnswers(reply []byte, typ dnsmessage.Type) (dnsmessage.RCode, []string, error) {
	wrong := errors.New("the name server's reply cannot be read")
	var p dnsmessage.Parser
	head, err := p.Start(reply)
	if err != nil || !head.Response || p.SkipAllQuestions() != nil {
		return 0, nil, wrong
	}
	var out []string
	for len(out) < 100 {
		r, err := p.Answer()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return 0, nil, wrong
		}
		if r.Header.Type != typ {
			continue
		}
		out = append(out, dnsText(r.Body))
	}
	slices.Sort(out)
	return head.RCode, out, nil
}

func dnsText(body dnsmessage.ResourceBody) string {
	name := func(n dnsmessage.Name) string { return strings.TrimSuffix(n.String(), ".") }
	switch r := body.(type) {
	case *dnsmessage.AResource:
		return net.IP(r.A[:]).String()
	case *dnsmessage.AAAAResource:
		return net.IP(r.AAAA[:]).String()
	case *dnsmessage.CNAMEResource:
		return name(r.CNAME)
	case *dnsmessage.MXResource:
		return fmt.Sprintf("%d %s", r.Pref, name(r.MX))
	case *dnsmessage.NSResource:
		return name(r.NS)
	case *dnsmessage.TXTResource:
		return strings.Join(r.TXT, "")
	}
	return ""
}

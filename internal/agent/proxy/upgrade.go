package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
)

// upgrade joins the client's and the revision's connections after 101, as
// WebSocket does (RFC 9110, section 7.8; RFC 6455). The request ends for the
// counts here; for draining it goes on until one side closes.
func (p *Proxy) upgrade(w http.ResponseWriter, r *http.Request, f *flight, resp *http.Response) {
	back, ok := resp.Body.(io.ReadWriteCloser)
	if asked, got := upgradeOf(r.Header), upgradeOf(resp.Header); !ok || asked == "" || !strings.EqualFold(asked, got) {
		f.count(p.ticker.steady(), outcome{failed: true})
		answer(w, http.StatusBadGateway, "the revision changed to a protocol that was not asked for")
		return
	}
	f.count(p.ticker.steady(), outcome{status: http.StatusSwitchingProtocols})
	if !f.untimed() {
		panic(http.ErrAbortHandler)
	}
	upgraded := upgradeOf(resp.Header)
	removeHopByHop(resp.Header)
	resp.Header["Connection"] = []string{"Upgrade"}
	resp.Header["Upgrade"] = []string{upgraded}
	front, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		answer(w, http.StatusBadGateway, "this connection cannot change its protocol")
		return
	}
	defer front.Close()
	resp.Body = nil
	if err := errors.Join(resp.Write(front), buffered.Writer.Flush()); err != nil {
		back.Close()
		return
	}
	ctx := f.context
	stop := context.AfterFunc(ctx, func() {
		front.Close()
		back.Close()
	})
	defer stop()
	join(front, buffered, back)
}

// join copies both ways until one side ends or fails, then closes both. What
// the other has sent by then is still delivered.
func join(front net.Conn, fromFront io.Reader, back io.ReadWriteCloser) {
	done := make(chan struct{}, 2)
	pipe := func(to io.Writer, from io.Reader) {
		buf := buffers.Get().(*[32 << 10]byte)
		defer buffers.Put(buf)
		// Either side may end in any way; the other is told by closing.
		_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buf[:])
		done <- struct{}{}
	}
	go pipe(back, fromFront)
	go pipe(front, back)
	<-done
	front.Close()
	back.Close()
	<-done
}

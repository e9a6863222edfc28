package notify

import (
	"context"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Router sends each message by the notifier of its target's kind.
type Router map[string]Notifier

// Send delivers by the notifier for the target's kind.
func (r Router) Send(ctx context.Context, m Message) (Receipt, error) {
	kind := m.To.Kind()
	n, ok := r[kind]
	if !ok {
		return Receipt{}, problem.New(problem.Invalid, "notify.send", "this server has no way to send by %q", kind)
	}
	return n.Send(ctx, m)
}

package alerts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// digestReceipt begins the receipts of notices that a digest stood for.
const digestReceipt = "in digest "

// digestMessage completes the message m of a digest that stands for items.
func digestMessage(m Message, items []Item) Message {
	m.Action, m.Items, m.Incident, m.Run, m.Failures = runner.NoticeDigest, items, nil, nil, nil
	counts := map[string]int{}
	order := []string{"new", "worse", "lasting", "taken over", "over", "other"}
	worst := jobs.Severity("")
	for _, item := range items {
		counts[wordOf(item.Action)]++
		if i := item.Incident; i != nil && item.Action != runner.NoticeResolve && i.Severity.Rank() > worst.Rank() {
			worst = i.Severity
		}
	}
	var parts []string
	for _, word := range order {
		if n := counts[word]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, word))
		}
	}
	m.Title = fmt.Sprintf("%d alerts: %s", len(items), strings.Join(parts, ", "))
	if worst != "" {
		m.Title += ", the worst is " + string(worst)
	}
	var b strings.Builder
	for _, item := range items {
		b.WriteString("- " + wordOf(item.Action))
		if i := item.Incident; i != nil {
			fmt.Fprintf(&b, ", %s", i.Severity)
		}
		fmt.Fprintf(&b, ": %s\n", item.Title)
	}
	m.Text = b.String()
	return m
}

// wordOf says in a word what an action means in a digest.
func wordOf(a runner.NoticeAction) string {
	switch a {
	case runner.NoticeOpen:
		return "new"
	case runner.NoticeWorse:
		return "worse"
	case runner.NoticeRepeat:
		return "lasting"
	case runner.NoticeAck:
		return "taken over"
	case runner.NoticeResolve:
		return "over"
	default:
		return "other"
	}
}

// digest tries one message that stands for several notices and records what
// became of them. Those that the channel is not to be told of are left out.
func (w *worker) digest(ctx context.Context, s Settings, taken []runner.Notice) {
	sending, cancel := w.sending(ctx)
	defer cancel(nil)
	var items []Item
	var told []runner.Notice
	for _, n := range taken {
		if !s.sends(n.Action) {
			w.leaveOut(ctx, n)
			continue
		}
		m, err := w.message(sending, n)
		if err != nil {
			w.refused(ctx, s, n, secret.NewRedactor(nil), w.ending(sending, err))
			continue
		}
		items = append(items, Item{Notice: n.ID, Action: n.Action, Title: m.Title, Incident: m.Incident})
		told = append(told, n)
	}
	switch len(told) {
	case 0:
		return
	case 1:
		w.deliver(ctx, s, told[0])
		return
	}
	m := digestMessage(w.digestHead(told), items)
	receipt, redactor, err := w.hand(sending, s, m)
	if partial, ok := errors.AsType[*PartialError](err); ok {
		receipt, err = partial.Receipt+"; not told: "+partial.Err.Error(), nil
	}
	if err != nil {
		err = w.ending(sending, err)
		if _, permanent := errors.AsType[*PermanentError](err); permanent {
			// Perhaps it is one of them that is refused.
			w.alone = w.o.Now().Add(alonePeriod)
			err = &TemporaryError{Err: errors.New(err.Error())}
		}
		for _, n := range told {
			w.refused(ctx, s, n, redactor, err)
		}
		return
	}
	w.sent(told...)
	receipt = jobs.OneLine(redactor.Scrub(digestReceipt + m.ID + ": " + receipt))
	w.log.InfoContext(context.WithoutCancel(ctx), "digest sent", "digest", m.ID, "notices", len(told), "receipt", receipt)
	for _, n := range told {
		w.record(ctx, n, func(ctx context.Context) error { return w.o.Outbox.Sent(ctx, n.ID, receipt) })
	}
}

// alonePeriod is how long notices go out one by one after a digest was refused.
const alonePeriod = time.Minute

// digestHead is the beginning of the message that stands for notices. Its ID
// follows from theirs: the same ones make the same digest.
func (w *worker) digestHead(told []runner.Notice) Message {
	latest := slices.MaxFunc(told, func(a, b runner.Notice) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	parts := make([]string, len(told))
	for i, n := range told {
		parts[i] = n.ID
	}
	slices.Sort(parts)
	return NewMessage(w.o.Origin, runner.Notice{
		ID: runner.DerivedID(latest.CreatedAt, append(parts, "digest", w.name)...), Action: runner.NoticeDigest, CreatedAt: latest.CreatedAt,
	})
}

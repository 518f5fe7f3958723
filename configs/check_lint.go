package configs

import (
	"fmt"
	"slices"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/health"
)

// lintChecks looks for checks that cannot see what they look for.
func (l *loader) lintChecks() {
	for i := range l.w.checks {
		item := &l.w.checks[i]
		f, path := item.Value, "checks."+item.Name
		if f.Timeout > f.Every {
			l.warn(at(item.Node, "timeout", item.At), "timeout-order", path+".timeout",
				fmt.Sprintf("an answer may take %s, but the check is asked every %s", f.Timeout, f.Every), "make timeout shorter than every")
		}
		if f.RetryEvery > f.Every {
			l.warn(at(item.Node, "retry_every", item.At), "retry-order", path+".retry_every",
				fmt.Sprintf("a suspect check is asked every %s, a healthy one every %s", f.RetryEvery, f.Every), "make retry_every shorter than every")
		}
		l.lintWhere(item, path)
		if f.Kind == health.KindHeartbeat {
			l.lintHeartbeat(item, path)
			continue
		}
		l.lintLatency(item, path)
	}
}

// lintWhere looks for checks that no node asks, and for those of this machine
// that only one of several nodes asks.
func (l *loader) lintWhere(item *decode.Item[checkField], path string) {
	f := item.Value
	if f.RunsOn != nil {
		l.lintPlace(item.Node, item.At, path+".runs_on", "nobody asks this check", f.RunsOn.RunsOn)
		return
	}
	if l.config.Ledger.Dialect == "sqlite" {
		return
	}
	what := ""
	switch e, _ := item.Node.Get("with"); {
	case f.Kind == implicitCheck:
		what = "the machine that it runs on"
	case f.Kind == "certificate" && e.Value != nil && readsFiles(e.Value):
		what = "files of the machine that it runs on"
	case f.Kind == scriptKind:
		what = "whatever its program finds on the machine that it runs on"
	default:
		return
	}
	l.warn(item.At, "which-node", path, "it looks at "+what+", and with several nodes only one of them asks it", "say which: runs_on: every, {every: {label: L}}, {label: L} or any")
}

// readsFiles tells whether one of several certificates is a file.
func readsFiles(with *source.Node) bool {
	list, given := with.Get("certificates")
	return given && slices.ContainsFunc(list.Value.Items, func(n *source.Node) bool {
		_, file := n.Get("file")
		return file
	})
}

// lintLatency looks for limits of a latency that come after the end of the
// check's patience.
func (l *loader) lintLatency(item *decode.Item[checkField], path string) {
	quiet := &decode.Decoder{Resolver: l.w.resolver()}
	_, values, ok := l.w.probe(quiet, item, &scope{world: l.w, decoder: quiet, check: item.Name})
	if !ok {
		return
	}
	timeout := unit.Duration(checkOf(item, values).Timeout)
	crit := unit.Duration(durationOf(values, "latency.crit"))
	if crit > 0 && timeout <= crit {
		l.warn(at(item.Node, "timeout", item.At), "timeout-order", path+".timeout",
			fmt.Sprintf("an answer slower than %s is critical, but the check gives up after %s: it says timeout, and never how slow", crit, timeout), "make timeout longer than latency.crit")
	}
	if own := unit.Duration(durationOf(values, "timeout")); item.Value.Timeout > 0 && own > 0 && timeout < own {
		l.warn(at(item.Node, "timeout", item.At), "timeout-order", path+".timeout",
			fmt.Sprintf("the check gives up after %s, its probe only after %s, which says more about what went wrong", timeout, own), "make with.timeout shorter than timeout")
	}
}

// lintHeartbeat looks for what has no effect on a heartbeat.
func (l *loader) lintHeartbeat(item *decode.Item[checkField], path string) {
	if e, given := item.Node.Get("timeout"); given {
		l.warn(e.At, "no-effect", path+".timeout", "timeout has no effect on a heartbeat, which is not asked", "with: {grace: ...} says how late it may be")
	}
}

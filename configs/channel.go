package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// Channel is a configured way to tell people, and how it wants to be told.
type Channel struct {
	Name, Kind string
	Settings   alerts.Settings
}

// commonKeys are the options that every channel has, whatever its kind.
func commonKeys() []string {
	var keys []string
	for _, f := range decode.Fields(reflect.TypeFor[alerts.Terms]()) {
		keys = append(keys, f.Name)
	}
	return keys
}

// parted divides the options of a channel into those that all have and those of
// its kind.
func parted(n *source.Node) (common, own *source.Node) {
	if n.Kind != source.Map {
		return &source.Node{Kind: source.Map, Pos: n.Pos}, n
	}
	keys := commonKeys()
	c, o := *n, *n
	c.Entries = slices.DeleteFunc(slices.Clone(n.Entries), func(e source.Entry) bool { return !slices.Contains(keys, e.Key) })
	o.Entries = slices.DeleteFunc(slices.Clone(n.Entries), func(e source.Entry) bool { return slices.Contains(keys, e.Key) })
	return &c, &o
}

// channel opens a channel of the file, to see whether it could be, and decides
// how it wants to be told.
func (l *loader) channel(item *decode.Item[channelField]) Channel {
	out := Channel{Name: item.Name, Kind: kindOf(item.Value.node)}
	var opened alerts.Channel
	if l.w.enabled(item) {
		opened, _ = l.w.openChannel(l.d, item)
	} else {
		l.readDisabled(item)
	}
	node, _ := parted(item.Value.node)
	values := alerts.DefaultTerms()
	l.w.construct(l.d, options{values: &values, node: node, path: "channels." + item.Name, key: item.At}, nil, func() (err error) {
		out.Settings, err = values.Settings(opened)
		return err
	})
	return out
}

// enabled tells whether a channel is used, as far as that can be told.
func (w *world) enabled(item *decode.Item[channelField]) bool {
	node, _ := parted(item.Value.node)
	values := alerts.DefaultTerms()
	quiet := &decode.Decoder{Resolver: w.resolver()}
	w.construct(quiet, options{values: &values, node: node, path: "channels." + item.Name, key: item.At}, nil, func() error { return nil })
	return values.Enabled
}

// readDisabled checks how a channel is written that is not used: its secrets may
// be missing, its keys must be known.
func (l *loader) readDisabled(item *decode.Item[channelField]) {
	quiet := &decode.Decoder{Resolver: l.w.resolver()}
	l.w.openChannel(quiet, item)
	for _, p := range quiet.Problems {
		if p.Severity == problem.Error && slices.Contains([]string{"unknown-key", "unknown-kind", "wrong-type"}, p.Rule) {
			l.d.Problems = append(l.d.Problems, p)
		}
	}
}

// standIn is who is told in the place of a channel: itself, or, when it is not
// used, the next of its fallbacks that is; empty for nobody.
func (l *loader) standIn(name string) string {
	for range l.config.Channels {
		i := slices.IndexFunc(l.config.Channels, func(c Channel) bool { return c.Name == name })
		if i < 0 || !l.config.Channels[i].Settings.Disabled {
			return name
		}
		name = l.config.Channels[i].Settings.Fallback
	}
	return name
}

// used replaces the channels that are not used, and drops those that nobody
// stands in for.
func (l *loader) used(names unit.Names) unit.Names {
	if names == nil {
		return nil
	}
	out := unit.Names{}
	for _, name := range names {
		if name = l.standIn(name); name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// usedRoutes are the routes to the channels that are used.
func (l *loader) usedRoutes() []alerts.Route {
	routes := slices.Clone(l.config.Routes)
	for i := range routes {
		routes[i].To = l.used(routes[i].To)
		routes[i].Escalate = slices.Clone(routes[i].Escalate)
		for k := range routes[i].Escalate {
			routes[i].Escalate[k].To = l.used(routes[i].Escalate[k].To)
		}
	}
	return routes
}

// fallbacks checks that every fallback exists and that none leads back to
// where it began.
func (l *loader) fallbacks() {
	names := l.w.channels.Names()
	next := map[string]string{}
	for i := range l.w.channels {
		// As it stands there: what else is wrong with the channel does not matter.
		if e, given := l.w.channels[i].Value.node.Get("fallback"); given && e.Value.Kind == source.Scalar {
			next[l.w.channels[i].Name] = e.Value.Text
		}
	}
	for i := range l.w.channels {
		item := &l.w.channels[i]
		fallback := next[item.Name]
		if fallback == "" {
			continue
		}
		path := "channels." + item.Name + ".fallback"
		place := at(item.Value.node, "fallback", item.At)
		if !slices.Contains(names, fallback) {
			unknown := &UnknownError{Family: "channel", Name: fallback, Known: names}
			l.d.Report(place, "unknown-name", path, unknown.Error(), unknown.Hint())
			continue
		}
		way := []string{item.Name}
		for at := fallback; at != "" && !slices.Contains(way[1:], at); at = next[at] {
			way = append(way, at)
			if at == item.Name {
				l.d.Report(place, "cycle", path, "the fallbacks lead back to where they began: "+strings.Join(way, " → "), "let one of them have no fallback")
				break
			}
		}
	}
}

// lintDisabled looks for what nobody is told of because a channel is not used.
func (l *loader) lintDisabled() {
	e, given := l.node.Get("routes")
	if !given || e.Value.Kind == source.Null {
		return
	}
	for i, route := range l.config.Routes {
		if len(route.To) == 0 || len(l.used(route.To)) > 0 {
			continue
		}
		path := fmt.Sprintf("routes[%d].to", i)
		l.warn(at(e.Value.Items[i], "to", e.At), "disabled", path, fmt.Sprintf("nobody is told by this route: %s is not enabled", strings.Join(route.To, ", ")), "enable the channel, or give it a fallback:")
	}
}

// lintFallback looks for a fallback that leaves out what the channel tells of.
func (l *loader) lintFallback(c Channel, item *decode.Item[channelField]) {
	i := slices.IndexFunc(l.config.Channels, func(other Channel) bool { return other.Name == c.Settings.Fallback })
	if i < 0 || c.Settings.Disabled {
		return
	}
	other := l.config.Channels[i].Settings
	if len(other.Takes) == 0 || other.Disabled {
		return
	}
	var missing []string
	for _, severity := range []jobs.Severity{jobs.Info, jobs.Warning, jobs.Critical} {
		takes := len(c.Settings.Takes) == 0 || slices.Contains(c.Settings.Takes, severity)
		if takes && !slices.Contains(other.Takes, severity) {
			missing = append(missing, string(severity))
		}
	}
	if len(missing) > 0 {
		l.warn(at(item.Value.node, "fallback", item.At), "narrow-fallback", "channels."+c.Name+".fallback",
			fmt.Sprintf("%s does not tell of what is %s, so that nobody is told of it when %s cannot be reached", c.Settings.Fallback, strings.Join(missing, " or "), c.Name),
			"name a fallback that tells of everything, or give it more severities")
	}
}

// lintChannels looks for fallbacks and paces that do nothing.
func (l *loader) lintChannels() {
	for i, c := range l.config.Channels {
		item := &l.w.channels[i]
		path := "channels." + c.Name
		l.lintFallback(c, item)
		if c.Settings.Style == alerts.Recording && c.Settings.Rate.Most > 0 {
			l.warn(at(item.Value.node, "rate", item.At), "rate", path+".rate",
				fmt.Sprintf("the channel keeps a record of each incident: what exceeds the rate waits, for up to %s, instead of going out as one message", c.Settings.Rate.Within), "")
		}
		if _, given := item.Value.node.Get("fallback_after"); given && c.Settings.Fallback == "" {
			l.warn(at(item.Value.node, "fallback_after", item.At), "no-effect", path+".fallback_after", "without a fallback nobody else is told", "add fallback: CHANNEL")
		}
	}
}

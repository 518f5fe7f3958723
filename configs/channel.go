package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/source"
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
	opened, _ := l.w.openChannel(l.d, item)
	node, _ := parted(item.Value.node)
	values := alerts.DefaultTerms()
	l.w.construct(l.d, options{values: &values, node: node, path: "channels." + item.Name, key: item.At}, nil, func() (err error) {
		out.Settings, err = values.Settings(opened)
		return err
	})
	return out
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

// lintChannels looks for fallbacks and paces that do nothing.
func (l *loader) lintChannels() {
	for i, c := range l.config.Channels {
		item := &l.w.channels[i]
		path := "channels." + c.Name
		if c.Settings.Style == alerts.Recording && c.Settings.Rate.Most > 0 {
			l.warn(at(item.Value.node, "rate", item.At), "rate", path+".rate",
				fmt.Sprintf("the channel keeps a record of each incident: what exceeds the rate waits, for up to %s, instead of going out as one message", c.Settings.Rate.Within), "")
		}
		if _, given := item.Value.node.Get("fallback_after"); given && c.Settings.Fallback == "" {
			l.warn(at(item.Value.node, "fallback_after", item.At), "no-effect", path+".fallback_after", "without a fallback nobody else is told", "add fallback: CHANNEL")
		}
	}
}

package configs

import (
	"fmt"
	"slices"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/registry"
	"github.com/ghosteam/upkeep/storage/object"
)

// flatKind is a kind of something whose options stand beside `kind:`.
type flatKind[T any] interface {
	Options() any
	Open(name string, options any) (T, error)
}

// flat is something of that form in the file: a store or a channel.
type flat struct {
	// family is the key at the top, word one of its kind.
	family, word string
	name         string
	at           source.Pos
	node         *source.Node
}

// openStore decodes and opens a store. What is wrong is reported to d.
func (w *world) openStore(d *decode.Decoder, item *decode.Item[storeField]) (object.Store, bool) {
	return openFlat(w, d, flat{"stores", "store", item.Name, item.At, item.Value.node}, w.catalog.Stores)
}

// openChannel decodes and opens a channel. What is wrong is reported to d.
func (w *world) openChannel(d *decode.Decoder, item *decode.Item[channelField]) (alerts.Channel, bool) {
	_, own := parted(item.Value.node)
	return openFlat(w, d, flat{"channels", "channel", item.Name, item.At, own}, w.catalog.Channels)
}

func openFlat[T any, K flatKind[T]](w *world, d *decode.Decoder, f flat, kinds *registry.Registry[K]) (opened T, ok bool) {
	path := f.family + "." + f.name
	if f.node.Kind != source.Map {
		d.Report(f.at, "wrong-type", path, f.name+" must be a group of keys", "write kind: and its options")
		return opened, false
	}
	var head struct {
		Kind string `yaml:"kind" required:"true" fixed:"true"`
	}
	kindOnly := *f.node
	kindOnly.Entries = nil
	e, given := f.node.Get("kind")
	if !given {
		d.Report(f.at, "missing-key", path+".kind", f.name+` lacks the key "kind"`, problem.DidYouMean("", kinds.Names()))
		return opened, false
	}
	kindOnly.Entries = []source.Entry{e}
	before := len(d.Problems)
	d.Decode(&kindOnly, &head, path, f.at)
	if len(d.Problems) > before {
		return opened, false
	}
	kind, known := kinds.Lookup(head.Kind)
	if !known {
		d.Report(e.Value.Pos, "unknown-kind", path+".kind", fmt.Sprintf("there is no kind of %s called %q", f.word, head.Kind), problem.DidYouMean(head.Kind, kinds.Names()))
		return opened, false
	}
	o := options{values: kind.Options(), node: without(f.node, "kind"), path: path, key: f.at}
	made := false
	ok = w.construct(d, o, nil, func() (err error) {
		opened, err = kind.Open(f.name, o.values)
		made = err == nil
		return err
	})
	return opened, ok && made
}

// kindOf returns the word after `kind:`.
func kindOf(n *source.Node) string {
	if e, ok := n.Get("kind"); ok {
		return e.Value.Text
	}
	return ""
}

// without returns the part of a node that belongs to its kind.
func without(n *source.Node, key string) *source.Node {
	out := *n
	out.Entries = slices.DeleteFunc(slices.Clone(n.Entries), func(e source.Entry) bool { return e.Key == key })
	return &out
}

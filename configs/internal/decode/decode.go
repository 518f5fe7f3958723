// Package decode puts the values of a configuration file into Go structs. It is
// strict: every key must be known, every value must have the right form, and
// everything that is wrong is reported at its place, at once. References are
// resolved on the way. It knows the shape of structs and nothing about what
// they mean.
package decode

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/configs/internal/expand"
	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
)

// Decoder decodes values and collects what is wrong with them.
type Decoder struct {
	// Resolver gives references their values.
	Resolver *expand.Resolver
	// Problems is what was wrong so far.
	Problems problem.Problems
	// Secrets are the texts that came out of files, out of variables that look
	// like secrets, and everything that landed in a secret.String.
	Secrets []string
	// Literals are the places of secrets that stand in the file itself.
	Literals []Literal
	// Deferred tells that at least one value is not known yet, so that its
	// field kept the default.
	Deferred bool

	// shapes keeps the keys of the structs that were met, because a
	// configuration of thousands of jobs meets the same few again and again.
	shapes map[reflect.Type][]Field
}

// Literal is a secret that stands in the file.
type Literal struct {
	At   source.Pos
	Path string
	Text string
}

// Decode puts n into the struct, map or value that into points to. path and at
// say where n belongs: its name in the configuration and the key before it.
func (d *Decoder) Decode(n *source.Node, into any, path string, at source.Pos) {
	d.value(n, reflect.ValueOf(into).Elem(), field{path: path, at: at})
}

// Report adds an error.
func (d *Decoder) Report(at source.Pos, rule, path, message, hint string) {
	d.Problems = append(d.Problems, at.Problem(problem.Error, rule, path, message, hint))
}

// Warn adds a warning.
func (d *Decoder) Warn(at source.Pos, rule, path, message, hint string) {
	d.Problems = append(d.Problems, at.Problem(problem.Warning, rule, path, message, hint))
}

// field is what the decoder knows about the place that it fills.
type field struct {
	path   string
	at     source.Pos // the key
	known  Field      // what is declared about it
	free   bool       // the key is one of a map with free keys
	secret bool       // the value goes into a secret.String
}

func (f field) child(name string, at source.Pos) field {
	path := name
	if f.path != "" {
		path = f.path + "." + name
	}
	return field{path: path, at: at}
}

func (f field) item(i int, at source.Pos) field {
	return field{path: fmt.Sprintf("%s[%d]", f.path, i), at: at, known: f.known}
}

// name is the last part of the path, for messages.
func (f field) name() string {
	if f.path == "" {
		return "the configuration"
	}
	return f.path[strings.LastIndexByte(f.path, '.')+1:]
}

func (d *Decoder) value(n *source.Node, v reflect.Value, f field) {
	if IsRaw(v.Type()) {
		v.Set(reflect.ValueOf(n))
		return
	}
	if custom, ok := reflect.TypeAssert[Custom](v.Addr()); ok {
		custom.Decode(d, n, f.path, f.at)
		return
	}
	if v.Kind() == reflect.Pointer {
		if n.Kind == source.Null {
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), f)
		return
	}
	text, isText := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr())
	switch {
	case isText && n.Kind == source.Map && IsShorthand(v.Type()):
		d.structure(n, v, f)
	case isText && (v.Kind() != reflect.Slice || n.Kind == source.Scalar):
		d.text(n, v, text, f)
	case v.Kind() == reflect.Struct:
		d.structure(n, v, f)
	case v.Kind() == reflect.Map:
		d.dictionary(n, v, f)
	case v.Kind() == reflect.Slice:
		d.list(n, v, f)
	default:
		d.scalar(n, v, f)
	}
}

// structure decodes a map over the struct v.
func (d *Decoder) structure(n *source.Node, v reflect.Value, f field) {
	if n.Kind != source.Map && n.Kind != source.Null {
		d.Report(n.Pos, "wrong-type", f.path, f.name()+" must be a group of keys", groupHint(v.Type()))
		return
	}
	fields := d.fields(v.Type())
	for _, e := range n.Entries {
		i := slices.IndexFunc(fields, func(known Field) bool { return known.Name == e.Key })
		if i < 0 {
			d.unknownKey(e, fields, f)
			continue
		}
		inner := f.child(e.Key, e.At)
		inner.known = fields[i]
		if fields[i].Later != "" {
			d.Report(e.At, "not-yet", inner.path, fmt.Sprintf("%s is not available in this version of upkeep", inner.path),
				fmt.Sprintf("remove it: %s comes with a later version, and nothing here would act on it", fields[i].Later))
			continue
		}
		d.value(e.Value, v.FieldByIndex(fields[i].Index), inner)
	}
	for _, known := range fields {
		e, given := n.Get(known.Name)
		switch {
		case !known.Required:
		case !given:
			d.missingKey(n, known, f)
		case e.Value.Kind == source.Null && collection(known.Type):
			d.noValue(f.child(known.Name, e.At))
		}
	}
}

// collection tells whether an empty value of type t is taken for no elements.
func collection(t reflect.Type) bool {
	_, custom := reflect.TypeAssert[Custom](reflect.New(t))
	return !custom && (t.Kind() == reflect.Slice || t.Kind() == reflect.Map || t.Kind() == reflect.Struct && !IsText(t) || t.Kind() == reflect.Pointer)
}

// noValue reports a key that stands alone.
func (d *Decoder) noValue(f field) {
	d.Report(f.at, "wrong-type", f.path, f.name()+" has no value", "give it one, or remove the line")
}

func groupHint(t reflect.Type) string {
	var names []string
	for _, known := range Fields(t) {
		if known.Later == "" && len(names) < 8 {
			names = append(names, known.Name)
		}
	}
	return "its keys are: " + strings.Join(names, ", ")
}

func (d *Decoder) unknownKey(e source.Entry, fields []Field, f field) {
	var names []string
	for _, known := range fields {
		if known.Later == "" {
			names = append(names, known.Name)
		}
	}
	where := ""
	if f.path != "" {
		where = " in " + f.path
	}
	d.Report(e.At, "unknown-key", f.child(e.Key, e.At).path, fmt.Sprintf("unknown key %q%s", e.Key, where), problem.DidYouMean(e.Key, names))
}

func (d *Decoder) missingKey(n *source.Node, known Field, f field) {
	at := f.at
	if at.Line == 0 {
		at = n.Pos
	}
	hint := known.Doc
	if known.Example != "" {
		hint = fmt.Sprintf("for example %s: %s", known.Name, known.Example)
	}
	what := f.name() + " lacks"
	if f.name() == "with" {
		what = "the options under with: lack"
	}
	d.Report(at, "missing-key", f.child(known.Name, at).path, fmt.Sprintf("%s the key %q", what, known.Name), hint)
}

// dictionary decodes a map with free keys over v.
func (d *Decoder) dictionary(n *source.Node, v reflect.Value, f field) {
	if n.Kind != source.Map && n.Kind != source.Null {
		d.Report(n.Pos, "wrong-type", f.path, f.name()+" must be a map", "write one \"key: value\" per line")
		return
	}
	if v.IsNil() && len(n.Entries) > 0 {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, e := range n.Entries {
		key := reflect.New(v.Type().Key()).Elem()
		if text, ok := reflect.TypeAssert[encoding.TextUnmarshaler](key.Addr()); ok {
			if err := text.UnmarshalText([]byte(e.Key)); err != nil {
				d.Report(e.At, "bad-value", f.path, err.Error(), jobs.HintOf(err))
				continue
			}
		} else {
			key.SetString(e.Key)
		}
		value := reflect.New(v.Type().Elem()).Elem()
		inner := f.child(e.Key, e.At)
		inner.free = true
		d.value(e.Value, value, inner)
		v.SetMapIndex(key, value)
	}
}

// list decodes a list into the slice v, in place of what was there.
func (d *Decoder) list(n *source.Node, v reflect.Value, f field) {
	switch n.Kind {
	case source.List:
	case source.Null:
		return
	default:
		hint := "write it in brackets: [a, b]"
		if n.Kind == source.Scalar && len(n.Text) < 40 && !strings.ContainsAny(n.Text, "\n,[]{}:#") {
			text := n.Text
			if !n.Plain {
				text = strconv.Quote(text)
			}
			hint = fmt.Sprintf("write %s: [%s]", f.name(), text)
		}
		d.Report(n.Pos, "wrong-type", f.path, f.name()+" must be a list", hint)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
	for i, item := range n.Items {
		d.value(item, out.Index(i), f.item(i, item.Pos))
	}
	v.Set(out)
}

// text decodes a scalar through the value's own method.
func (d *Decoder) text(n *source.Node, v reflect.Value, into encoding.TextUnmarshaler, f field) {
	f.secret = v.Type() == reflect.TypeFor[secret.String]()
	got, ok := d.resolve(n, f)
	if !ok || !d.allowed(got.text, n, f) {
		return
	}
	switch v.Type() {
	case reflect.TypeFor[secret.String]():
		d.keepSecret(n, got, f)
	case reflect.TypeFor[unit.Path]():
		if got.text == "~" || strings.HasPrefix(got.text, "~/") {
			d.Report(n.Pos, "bad-value", f.path, f.name()+" begins with ~, which only shells understand", "write ${env:HOME} or the whole path")
			return
		}
		if got.empty != "" {
			d.Report(n.Pos.Seek(got.empty), "bad-value", f.path, fmt.Sprintf("%s is empty, which would lead to another path", got.empty), "set it, or write the path without it")
			return
		}
	}
	if err := into.UnmarshalText([]byte(got.text)); err != nil {
		d.Report(n.Pos, "bad-value", f.path, fmt.Sprintf("%s: %v", f.name(), err), jobs.HintOf(err))
	}
}

// keepSecret notes the text of a secret.String. In a map with free keys, such
// as the environment of a process, what stands in the file itself is a secret
// only when its key says so: the rest is settings.
func (d *Decoder) keepSecret(n *source.Node, got resolved, f field) {
	telling := !f.free || secret.LooksSecret(f.name()) || expand.HasPassword(got.text)
	bare := strings.Contains(got.text, "://") && !expand.HasPassword(got.text) // a URL without a password may stand anywhere
	if got.text == "" || !got.hidden && (!telling || bare) {
		return
	}
	d.Secrets = append(d.Secrets, got.text)
	if !got.reference {
		d.Literals = append(d.Literals, Literal{At: n.Pos, Path: f.path, Text: got.text})
	}
}

// allowed checks the words of an enum.
func (d *Decoder) allowed(text string, n *source.Node, f field) bool {
	words := f.known.Enum
	if len(words) == 0 || slices.Contains(words, text) {
		return true
	}
	hint := "use one of: " + strings.Join(words, ", ")
	if near := problem.Nearest(text, words); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	d.Report(n.Pos, "bad-value", f.path, fmt.Sprintf("%q is not a value of %s", text, f.name()), hint)
	return false
}

func (d *Decoder) fields(t reflect.Type) []Field {
	if known, ok := d.shapes[t]; ok {
		return known
	}
	if d.shapes == nil {
		d.shapes = map[reflect.Type][]Field{}
	}
	d.shapes[t] = Fields(t)
	return d.shapes[t]
}

// Fork returns a decoder with another resolver, for a part of the whole. Both
// belong to one goroutine.
func (d *Decoder) Fork(r *expand.Resolver) *Decoder {
	if d.shapes == nil {
		d.shapes = map[reflect.Type][]Field{}
	}
	return &Decoder{Resolver: r, shapes: d.shapes}
}

// Join takes over what a fork found.
func (d *Decoder) Join(fork *Decoder) {
	d.Problems = append(d.Problems, fork.Problems...)
	d.Secrets = append(d.Secrets, fork.Secrets...)
	d.Literals = append(d.Literals, fork.Literals...)
	d.Deferred = d.Deferred || fork.Deferred
}

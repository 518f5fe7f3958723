package configs

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"time"
	// Time zones must be there on machines without a zone database too.
	_ "time/tzdata"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
)

// zone is a time zone by its name in the IANA database.
type zone struct{ *time.Location }

// UnmarshalText reads the name of a zone.
func (z *zone) UnmarshalText(text []byte) error {
	name := string(text)
	if name == "" || strings.EqualFold(name, "local") {
		return errors.New("name the time zone, such as Europe/Berlin, or leave the line out to use that of this machine")
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return fmt.Errorf("%q is not a time zone: write a name such as Europe/Berlin or UTC", name)
	}
	z.Location = location
	return nil
}

// Ledger says where the record of all runs is kept.
type Ledger struct {
	// Dialect is "sqlite" or "postgres".
	Dialect string
	// Path is the absolute path of the file, with dialect sqlite.
	Path string
	// URL is the connection URL, with dialect postgres; it may hold a password.
	URL secret.String
}

// String names the ledger for people, without a secret.
func (l Ledger) String() string {
	if l.Dialect == "sqlite" {
		return "sqlite:" + l.Path
	}
	u, err := secret.ParseURL(l.URL.Reveal())
	if err != nil {
		return l.Dialect + ":" + secret.Redacted
	}
	u.RawQuery = ""
	return u.Redacted()
}

// ledgerField is the ledger as it is written.
type ledgerField struct{ Ledger }

// Schema describes the two forms.
func (*ledgerField) Schema(func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{"type": "string", "pattern": `^(sqlite:.+|postgres(ql)?://.+|.*\$\{(env|file):.*)$`}
}

// UnmarshalText reads "sqlite:PATH" or a URL of PostgreSQL. What it refuses it
// does not repeat, because it may hold a password.
func (l *ledgerField) UnmarshalText(text []byte) error {
	form, rest, _ := strings.Cut(string(text), ":")
	switch form {
	case "sqlite":
		path := strings.TrimPrefix(rest, "//")
		if path == "" || strings.ContainsAny(path, "\x00?") {
			return errors.New("write the path of the file after sqlite:, such as sqlite:var/upkeep.db")
		}
		l.Ledger = Ledger{Dialect: "sqlite", Path: path}
		return nil
	case "postgres", "postgresql":
		if u, err := secret.ParseURL(string(text)); err != nil || !strings.HasPrefix(rest, "//") || strings.Trim(u.Path, "/") == "" {
			return errors.New("write postgres://USER@HOST:PORT/DATABASE")
		}
		l.Ledger = Ledger{Dialect: "postgres", URL: secret.New(string(text))}
		return nil
	}
	return errors.New("write sqlite:PATH or postgres://USER@HOST/DATABASE")
}

// absolute places a relative path against root.
func (l *ledgerField) absolute(root string) {
	if l.Dialect == "sqlite" && !filepath.IsAbs(l.Path) {
		l.Path = filepath.Join(root, l.Path)
	}
}

// ballastField is the size of the ballast in bytes.
type ballastField int64

// UnmarshalText reads a size or "off".
func (b *ballastField) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*b = 0
		return nil
	}
	var size unit.Size
	if err := size.UnmarshalText(text); err != nil {
		return err
	}
	if size > 0 && size < smallestBallast {
		return errors.New("write off, or at least 1MiB: less would not make room enough")
	}
	*b = ballastField(size)
	return nil
}

// MarshalText writes the form that people write.
func (b ballastField) MarshalText() ([]byte, error) {
	return []byte(strings.ReplaceAll(unit.Size(b).String(), " ", "")), nil
}

// Schema describes the two forms. Editors that read YAML 1.1 see off as false.
func (*ballastField) Schema(inner func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{inner(reflect.TypeFor[unit.Size]()), map[string]any{"enum": []any{"off", false}}}}
}

// modeField tells whether the runs of a workflow wait for approval, or are dry.
type modeField struct{ approve, observe bool }

// Decode reads auto, approve or observe.
func (m *modeField) Decode(d *decode.Decoder, n *source.Node, path string, at source.Pos) {
	var word string
	d.Decode(n, &word, path, at)
	switch word {
	case "", "auto":
	case "approve":
		m.approve = true
	case "observe":
		m.observe = true
	default:
		d.Report(n.Pos, "bad-value", path, fmt.Sprintf("%q is not a value of mode", word), problem.DidYouMean(word, []string{"auto", "approve", "observe"}))
	}
}

// Schema describes the three words.
func (*modeField) Schema(func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{"enum": []any{"auto", "approve", "observe"}}
}

// storeField, channelField, workflowField and jobsField keep a value for later: what it may
// hold depends on names that stand elsewhere.
type (
	storeField    struct{ node *source.Node }
	channelField  struct{ node *source.Node }
	workflowField struct{ node *source.Node }
	jobsField     struct{ node *source.Node }
)

// Decode keeps the value.
func (s *storeField) Decode(_ *decode.Decoder, n *source.Node, _ string, _ source.Pos) { s.node = n }

// Decode keeps the value.
func (c *channelField) Decode(_ *decode.Decoder, n *source.Node, _ string, _ source.Pos) { c.node = n }

// Decode keeps the value.
func (w *workflowField) Decode(_ *decode.Decoder, n *source.Node, _ string, _ source.Pos) { w.node = n }

// Decode keeps the value.
func (j *jobsField) Decode(_ *decode.Decoder, n *source.Node, _ string, _ source.Pos) { j.node = n }

// Schema of a store depends on the kinds; the generator fills it in.
func (*storeField) Schema(func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{"$ref": "#/$defs/store"}
}

// Schema of a channel depends on the kinds; the generator fills it in.
func (*channelField) Schema(func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{"$ref": "#/$defs/channel"}
}

// Schema of a workflow is that of its file form.
func (*workflowField) Schema(func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{"$ref": "#/$defs/workflow"}
}

// Schema of the jobs depends on the kinds; the generator fills it in.
func (*jobsField) Schema(func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{
		"type": "object", "minProperties": 1,
		"propertyNames":        map[string]any{"pattern": decode.NamePattern, "maxLength": 64},
		"additionalProperties": map[string]any{"$ref": "#/$defs/job"},
	}
}

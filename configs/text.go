package configs

import (
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/secret"
)

// redacted stands in place of a secret in a text.
const redacted = "<redacted>"

// Text is the whole configuration as YAML for people: the files merged, aliases
// put in place, without comments. References stay unresolved. What is known to
// be a secret, stands under a key that sounds like one, is the slug of a public
// heartbeat, or is the password of a URL is replaced by "<redacted>", so the text may be shown to whoever may know
// how upkeep is set up. It is empty for a configuration that Locate returned.
func (c *Config) Text() string {
	if c.node == nil {
		return ""
	}
	return c.scrubText(source.Text(hide(c.node, false)))
}

// Definition is the text of a workflow as its runs keep it, redacted as Text.
func (c *Config) Definition(w *Workflow) string {
	_, node, problems := source.Read(specFile(w.Name), []byte(w.Spec.Text))
	if node == nil || problems.Err() != nil {
		return "" // which a loaded workflow cannot be
	}
	return c.scrubText(source.Text(hide(node, false)))
}

// Option returns the text of an option of a job as it stands in the workflow;
// false when it is not given, is no single value, or is known only when the job
// runs.
func (w *Workflow) Option(job, option string) (string, bool) {
	_, node, problems := source.Read(specFile(w.Name), []byte(w.Spec.Text))
	if problems.Err() != nil {
		return "", false
	}
	for _, key := range []string{"jobs", job, "with", option} {
		entry, ok := node.Get(key)
		if !ok {
			return "", false
		}
		node = entry.Value
	}
	if node == nil || node.Kind != source.Scalar || strings.Contains(node.Text, "${") {
		return "", false
	}
	return node.Text, true
}

// scrubText takes out of a text all secrets that the configuration knows of.
func (c *Config) scrubText(text string) string {
	return secret.NewRedactor(c.hidden).Scrub(text)
}

// hide copies a tree without what looks like a secret; all tells that
// everything below does. References are no secrets.
func hide(n *source.Node, all bool) *source.Node {
	if n == nil {
		return nil
	}
	out := *n
	switch n.Kind {
	case source.Scalar:
		if strings.HasPrefix(n.Text, "${") && strings.HasSuffix(n.Text, "}") && strings.Count(n.Text, "${") == 1 {
			return n
		}
		if all {
			out.Text, out.Plain = redacted, false
		} else if u, err := secret.ParseURL(n.Text); err == nil && u.User != nil {
			if password, ok := u.User.Password(); ok && password != "" && !strings.Contains(password, "${") {
				out.Text, out.Plain = strings.Replace(n.Text, ":"+rawPassword(n.Text)+"@", ":"+redacted+"@", 1), false
			}
		}
	case source.List:
		out.Items = slices.Clone(n.Items)
		for i, item := range out.Items {
			out.Items[i] = hide(item, all)
		}
	case source.Map:
		out.Entries = slices.Clone(n.Entries)
		for i, e := range out.Entries {
			// A map below such a key may be of anything, such as a channel that is
			// called webhook; its own keys tell.
			secretive := secret.LooksSecret(e.Key) && (e.Value == nil || e.Value.Kind != source.Map)
			out.Entries[i].Value = hide(e.Value, all || secretive)
		}
	case source.Null:
	}
	return &out
}

// rawPassword is the password of a URL as it is written.
func rawPassword(text string) string {
	_, rest, _ := strings.Cut(text, "://")
	userinfo := rest[:max(strings.LastIndex(rest, "@"), 0)]
	_, password, _ := strings.Cut(userinfo, ":")
	return password
}

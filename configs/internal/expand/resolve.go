package expand

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/secret"
)

// MaxFile is the length of the longest file that a reference may stand for.
const MaxFile = 64 << 10

// Resolver gives references their values.
type Resolver struct {
	// Getenv looks a variable up; ReadFile reads a whole file, of which at
	// most MaxFile bytes are accepted.
	Getenv   func(name string) (string, bool)
	ReadFile func(path string) ([]byte, error)
	// Root is the folder of relative paths.
	Root string
	// Late leaves references to the environment and to files unresolved: the
	// values are Deferred.
	Late bool
	// Forbid, when not empty, says why references to the environment and to
	// files cannot stand here.
	Forbid string
	// Params holds the parameters by name; nil says that none can stand here.
	Params map[string]Argument
}

// Argument is the value of a parameter. An unknown one defers.
type Argument struct {
	Text  string
	Known bool
}

// Value is what a reference stands for.
type Value struct {
	Text string
	// Secret tells that the text should not be shown. Public tells that there
	// is certainly nothing to hide: it stands in the configuration itself or in
	// a variable that everybody knows.
	Secret, Public bool
	// Deferred tells that the text is not known yet.
	Deferred bool
}

// Resolve returns the value of ref. The error is a *Fault.
func (r *Resolver) Resolve(ref Ref) (Value, error) {
	if ref.Scheme == Param {
		return r.param(ref)
	}
	switch {
	case r.Forbid != "":
		return Value{}, &Fault{Rule: "reference-place", At: ref.Text, Why: fmt.Sprintf("%s cannot stand here: %s", ref.Text, r.Forbid)}
	case r.Late:
		return Value{Deferred: true}, nil
	case ref.Scheme == File:
		return r.file(ref)
	}
	text, set := "", false
	if r.Getenv != nil {
		text, set = r.Getenv(ref.Name)
	}
	if ref.HasDefault && text == "" {
		return Value{Text: ref.Default, Public: true}, nil
	}
	if !set {
		return Value{}, &Fault{
			Rule: "unset", At: ref.Text, Why: fmt.Sprintf("the environment variable %s is not set", ref.Name),
			Hint: fmt.Sprintf("set it, or give a default: ${env:%s:-default}", ref.Name),
		}
	}
	hidden := secret.LooksSecret(ref.Name) || HasPassword(text)
	return Value{Text: text, Secret: hidden, Public: !hidden && common(ref.Name)}, nil
}

// common tells whether a variable of that name is one that every process has
// and that no secret is kept in.
func common(name string) bool {
	switch name {
	case "HOME", "PATH", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "PWD", "HOSTNAME", "TMPDIR", "TERM", "EDITOR":
		return true
	}
	return strings.HasPrefix(name, "LC_") || strings.HasPrefix(name, "XDG_")
}

func (r *Resolver) param(ref Ref) (Value, error) {
	if r.Params == nil {
		return Value{}, &Fault{
			Rule: "reference-place", At: ref.Text, Why: ref.Text + " cannot stand here: parameters exist only in the jobs of a workflow",
		}
	}
	argument, declared := r.Params[ref.Name]
	if !declared {
		names := make([]string, 0, len(r.Params))
		for name := range r.Params {
			names = append(names, name)
		}
		hint := problem.DidYouMean(ref.Name, names)
		if len(names) == 0 {
			hint = fmt.Sprintf("declare it in the workflow: params: {%s: {type: string}}", ref.Name)
		}
		return Value{}, &Fault{Rule: "unknown-name", At: ref.Text, Why: fmt.Sprintf("the workflow has no parameter %q", ref.Name), Hint: hint}
	}
	return Value{Text: argument.Text, Deferred: !argument.Known, Public: true}, nil
}

func (r *Resolver) file(ref Ref) (Value, error) {
	path := ref.Name
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.Root, path)
	}
	fault := func(why, hint string) (Value, error) {
		return Value{}, &Fault{Rule: "unset", At: ref.Text, Why: fmt.Sprintf("the file %s %s", path, why), Hint: hint}
	}
	if r.ReadFile == nil {
		return fault("cannot be read here", "")
	}
	content, err := r.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault("does not exist", "relative paths begin at root: "+r.Root)
	case errors.Is(err, fs.ErrPermission):
		return fault("cannot be read by this user", "")
	case err != nil:
		return fault("cannot be read: "+err.Error(), "")
	case len(content) > MaxFile:
		return fault(fmt.Sprintf("is longer than %d bytes", MaxFile), "name a file that holds the value alone")
	case !utf8.Valid(content) || strings.IndexByte(string(content), 0) >= 0:
		return fault("does not hold text", "")
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if text == "" {
		return fault("is empty", "")
	}
	return Value{Text: text, Secret: true}, nil
}

// HasPassword tells whether text is a URL that holds a password.
func HasPassword(text string) bool {
	u, err := secret.ParseURL(text)
	if err != nil || u.User == nil {
		return false
	}
	_, ok := u.User.Password()
	return ok
}

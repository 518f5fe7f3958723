package registry

// Opener is a type of something that is configured under a name and opened
// when it is needed, such as a kind of store or of channel: its name, its
// documentation, its options and how to open one.
type Opener[T any] struct {
	// Name is the word under `kind:`, equal to the folder and the package.
	Name string
	// Doc is Markdown: the first line says in one sentence what it is; the rest
	// is the reference text.
	Doc string

	options func() any
	open    func(name string, options any) (T, error)
}

// DefineOpener makes an opener whose options are the struct O. The loader
// copies defaults, decodes the settings strictly over the copy, and hands the
// outcome and the configured name to open. open has no effects and does not
// reach out: it is called while the configuration loads. Fields of O carry the
// tags of jobs.Define; *O may have a method Validate() error that returns
// *FieldError.
func DefineOpener[O, T any](name, doc string, defaults O, open func(name string, o O) (T, error)) Opener[T] {
	return Opener[T]{
		Name:    name,
		Doc:     doc,
		options: Fresh(defaults),
		open: func(name string, options any) (T, error) {
			return open(name, *options.(*O)) //nolint:forcetypeassert // only Options of this opener reach it
		},
	}
}

// Options returns a pointer to a fresh copy of the default options, to decode
// into or to describe.
func (k Opener[T]) Options() any { return k.options() }

// Open validates options, which must come from Options, and opens one under
// the name that the configuration gives it.
func (k Opener[T]) Open(name string, options any) (T, error) {
	if err := Validate(options); err != nil {
		var none T
		return none, err
	}
	return k.open(name, options)
}

// Summary returns the first line of the documentation.
func (k Opener[T]) Summary() string { return Summary(k.Doc) }

// NewOpeners returns a registry of openers, sorted by name. It panics on a
// duplicate or nameless one, because the list is written in code; family
// stands in front of the message.
func NewOpeners[T any](family string, openers ...Opener[T]) *Registry[Opener[T]] {
	return New(family, func(k Opener[T]) string { return k.Name }, openers...)
}

package pgreview

// WithoutValues makes the text of a statement fit for showing, for tests.
func WithoutValues(text string) string { return withoutValues(text) }

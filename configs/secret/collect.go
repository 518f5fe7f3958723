package secret

import "reflect"

// Collect returns the texts of all secrets in v, wherever they are: in
// structs, lists, maps and behind pointers and interfaces. Unexported fields
// are looked at too. Empty secrets are left out.
func Collect(v any) []string {
	c := collector{seen: map[visit]bool{}}
	c.walk(reflect.ValueOf(v))
	return c.texts
}

type visit struct {
	pointer uintptr
	kind    reflect.Type
}

type collector struct {
	texts []string
	seen  map[visit]bool // pointers may form circles
}

func (c *collector) walk(v reflect.Value) {
	if !v.IsValid() {
		return
	}
	if v.Type() == reflect.TypeFor[String]() {
		if text := v.FieldByName("text").String(); text != "" {
			c.texts = append(c.texts, text)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		at := visit{v.Pointer(), v.Type()}
		if v.IsNil() || c.seen[at] {
			return
		}
		c.seen[at] = true
		c.walk(v.Elem())
	case reflect.Interface:
		c.walk(v.Elem())
	case reflect.Struct:
		for _, field := range v.Fields() {
			c.walk(field)
		}
	case reflect.Slice, reflect.Array:
		if plain(v.Type().Elem()) {
			return
		}
		for i := range v.Len() {
			c.walk(v.Index(i))
		}
	case reflect.Map:
		for key, value := range v.Seq2() {
			c.walk(key)
			c.walk(value)
		}
	}
}

// plain tells whether a type can hold no secret.
func plain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct, reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Array, reflect.Map:
		return false
	default:
		return true
	}
}

package decode

import (
	"path/filepath"
	"reflect"

	"github.com/ghosteam/upkeep/configs/unit"
)

// Absolute makes every relative unit.Path below v, a pointer, absolute against
// root, wherever it is: in structs, lists, maps and behind pointers.
func Absolute(v any, root string) { absolute(reflect.ValueOf(v), root) }

func absolute(v reflect.Value, root string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			absolute(v.Elem(), root)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				absolute(v.Field(i), root)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			absolute(v.Index(i), root)
		}
	case reflect.Map:
		for key, value := range v.Seq2() {
			// Values of maps cannot be set in place.
			changed := reflect.New(value.Type()).Elem()
			changed.Set(value)
			absolute(changed, root)
			v.SetMapIndex(key, changed)
		}
	case reflect.String:
		if v.Type() == reflect.TypeFor[unit.Path]() && v.CanSet() && v.String() != "" && !filepath.IsAbs(v.String()) {
			v.SetString(filepath.Join(root, v.String()))
		}
	}
}

package web

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// schemaOf returns the schema of a type, registered under its name.
func schemaOf[T any](a huma.API) *huma.Schema {
	return a.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

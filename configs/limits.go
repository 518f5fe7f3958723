package configs

import (
	"reflect"
	"strings"

	"github.com/ghosteam/upkeep/configs/unit"
)

// Limit is what a value that a check measures is judged against.
type Limit struct {
	// Value is the name of the value among those of the probe, such as
	// "cpu_percent".
	Value string
	// Warn and Crit are the limits in the unit of the value; nil for none.
	Warn, Crit *float64
	// Below tells that a value below the limit is bad, instead of one above.
	Below bool
}

// limitTag is the tag of an option that limits a value: the name of the value,
// then ",below" where less is worse.
const limitTag = "limits"

// limitsOf are the limits among the options of a probe: those of the fields
// that carry the tag. Options that are not known have none.
func limitsOf(options any) []Limit {
	v := reflect.ValueOf(options)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil
	}
	var list []Limit
	for i := range v.NumField() {
		name, more, _ := strings.Cut(v.Type().Field(i).Tag.Get(limitTag), ",")
		if name == "" {
			continue
		}
		group := v.Field(i)
		if group.Kind() != reflect.Struct {
			group = v // the limits stand beside each other among the options
		}
		l := Limit{Value: name, Below: more == "below", Warn: levelOf(group, "warn"), Crit: levelOf(group, "crit")}
		if l.Warn != nil || l.Crit != nil {
			list = append(list, l)
		}
	}
	return list
}

// levelOf is a limit in a group of options, in the unit of its value; nil when
// it is one that nothing breaks: no time, no number, or the whole of something.
func levelOf(group reflect.Value, key string) *float64 {
	for i := range group.NumField() {
		if name, _, _ := strings.Cut(group.Type().Field(i).Tag.Get("yaml"), ","); name != key {
			continue
		}
		var limit float64
		switch set := group.Field(i).Interface().(type) {
		case unit.Duration:
			limit = set.Std().Seconds()
		case unit.Share:
			if limit = float64(set); limit >= 100 {
				return nil
			}
		case float64:
			limit = set
		}
		if limit > 0 {
			return &limit
		}
	}
	return nil
}

package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// notCopied are the tables that stay behind: the migrator's own, and those about
// processes that are gone when a ledger is copied.
func notCopied(table string) bool {
	return slices.Contains([]string{versionTable, copyTableName, "nodes", "live_outputs"}, table) || strings.HasPrefix(table, "sqlite_") || strings.HasPrefix(table, "river_")
}

// columnKind is of what kind the values of a column are.
type columnKind int

const (
	wholeColumn columnKind = iota
	realColumn
	textColumn
	bytesColumn
)

// kindOfColumn knows the types of PostgreSQL that the ledger uses.
func kindOfColumn(typeName string) (columnKind, error) {
	switch typeName {
	case "bigint", "integer", "smallint":
		return wholeColumn, nil
	case "double precision":
		return realColumn, nil
	case "text":
		return textColumn, nil
	case "bytea":
		return bytesColumn, nil
	}
	return 0, fmt.Errorf("a column of type %s cannot be copied", typeName)
}

// copyColumn is a column of a table to copy.
type copyColumn struct {
	name string
	kind columnKind
}

// copyTable is a table to copy.
type copyTable struct {
	name    string
	columns []copyColumn
	// keys are the columns of the primary key, in its order.
	keys []string
}

func (t copyTable) columnNames() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return names
}

// stored returns a value of SQLite as PostgreSQL takes it. A text with bytes
// that PostgreSQL does not take is repaired as clean does it.
func (c copyColumn) stored(v any) (stored any, repaired bool, err error) {
	switch v := v.(type) {
	case nil:
		return nil, false, nil
	case int64:
		switch c.kind {
		case wholeColumn:
			return v, false, nil
		case realColumn:
			return float64(v), false, nil
		case textColumn, bytesColumn:
		}
	case float64:
		if c.kind == realColumn {
			return v, false, nil
		}
	case string:
		switch c.kind {
		case textColumn:
			text := sound(v)
			return text, text != v, nil
		case bytesColumn:
			return []byte(v), false, nil
		case wholeColumn, realColumn:
		}
	case []byte:
		switch c.kind {
		case bytesColumn:
			// The driver reads no bytes as a nil slice, which would be NULL.
			return append([]byte{}, v...), false, nil
		case textColumn:
			text := sound(string(v))
			return text, text != string(v), nil
		case wholeColumn, realColumn:
		}
	}
	return nil, false, fmt.Errorf("a value of type %T does not fit", v)
}

// sound makes text valid UTF-8 without NUL.
func sound(text string) string {
	if utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 {
		return text
	}
	const replacement = string(utf8.RuneError)
	return strings.ReplaceAll(strings.ToValidUTF8(text, replacement), "\x00", replacement)
}

// rowDigest is the digest of a set of rows, whatever their order: the sum of the
// SHA-256 of all rows, as four numbers of 64 bits each. A row is its values,
// each a letter for its kind, and then 8 bytes of the number, or of the length
// and the bytes themselves.
type rowDigest struct {
	rows  int64
	lanes [4]uint64
}

func (d *rowDigest) add(values []any) {
	var text []byte
	for _, v := range values {
		text = appendValue(text, v)
	}
	sum := sha256.Sum256(text)
	for i := range d.lanes {
		d.lanes[i] += binary.BigEndian.Uint64(sum[8*i:])
	}
	d.rows++
}

func appendValue(text []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return binary.BigEndian.AppendUint64(append(text, 'i'), uint64(v))
	case int32:
		return appendValue(text, int64(v))
	case int16:
		return appendValue(text, int64(v))
	case float64:
		return binary.BigEndian.AppendUint64(append(text, 'f'), math.Float64bits(v))
	case string:
		return append(binary.BigEndian.AppendUint64(append(text, 't'), uint64(len(v))), v...)
	case []byte:
		return append(binary.BigEndian.AppendUint64(append(text, 'b'), uint64(len(v))), v...)
	}
	return append(text, 'n')
}

// String is the number of rows and the digest.
func (d rowDigest) String() string {
	var sum []byte
	for _, lane := range d.lanes {
		sum = binary.BigEndian.AppendUint64(sum, lane)
	}
	return fmt.Sprintf("%d %s", d.rows, hex.EncodeToString(sum))
}

// short is the beginning of the digest.
func (d rowDigest) short() string { return fmt.Sprintf("%016x", d.lanes[0]) }

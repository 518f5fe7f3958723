package ledger

import (
	"fmt"
	"slices"
	"strings"
)

// keyColumn is a column with the value that it has in a range of an index.
type keyColumn struct {
	name  string
	value any
}

// keyRange is the leading part of an index key: one range of the index.
type keyRange []keyColumn

// columnValues returns one range for each value of a column, or none for no
// values, which stands for the whole table.
func columnValues[T ~string](column string, values []T) []keyRange {
	var ranges []keyRange
	for _, value := range slices.Compact(slices.Sorted(slices.Values(values))) {
		ranges = append(ranges, keyRange{{column, value}})
	}
	return ranges
}

// newestOf selects the IDs of the last rows of a table by the columns in
// order, from low inclusive up to high exclusive, of those that lie in one of
// the ranges. Every range gives its last rows, as in runIDs.
func (q *query) newestOf(table string, order []string, ranges []keyRange, low, high []any, limit int) {
	switch len(ranges) {
	case 0:
		q.newestIn(table, "id", order, nil, low, high, limit)
		return
	case 1:
		q.newestIn(table, "id", order, ranges[0], low, high, limit)
		return
	}
	q.add("SELECT id FROM (")
	for i, r := range ranges {
		if i > 0 {
			q.add(" UNION ALL ")
		}
		wanted := strings.Join(order, ", ")
		q.add("SELECT " + wanted + " FROM (")
		q.newestIn(table, wanted, order, r, low, high, limit)
		q.add(fmt.Sprintf(") AS part_%d", i))
	}
	q.add(fmt.Sprintf(") AS parts ORDER BY %s LIMIT %d", descending(order), limit))
}

// newestIn is newestOf for one range with the columns wanted, written as two comparisons of whole
// index keys for the reason given at newest.
func (q *query) newestIn(table, wanted string, order []string, r keyRange, low, high []any, limit int) {
	var columns []string
	var key []any
	for _, c := range r {
		columns, key = append(columns, c.name), append(key, c.value)
	}
	columns = append(columns, order...)
	list, values := strings.Join(columns, ", "), "("+marks(len(columns))+")"
	q.add("SELECT "+wanted+" FROM "+table+" WHERE ("+list+") >= "+values, slices.Concat(key, low)...)
	q.add(" AND ("+list+") < "+values, slices.Concat(key, high)...)
	q.add(fmt.Sprintf(" ORDER BY %s LIMIT %d", descending(columns), limit))
}

func descending(columns []string) string { return strings.Join(columns, " DESC, ") + " DESC" }

// pageSize returns the limit that a filter means.
func pageSize(limit int) (int, error) {
	switch {
	case limit < 0:
		return 0, fmt.Errorf("the limit %d is negative", limit)
	case limit == 0:
		return defaultLimit, nil
	}
	return limit, nil
}

// idBound returns the ID before which a page ends.
func idBound(before string) string {
	if before == "" {
		return idEnd
	}
	return min(before, idEnd)
}

// unstorable tells whether one of texts is such that no row can hold it, and
// PostgreSQL would refuse to look for it.
func unstorable(texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return checkText("", text, maxSpec) != nil })
}

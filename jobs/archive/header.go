package archive

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// The layout of the tar: ustar headers, preceded by a PAX extended header
// where an attribute does not fit into one (IEEE Std 1003.1-2017, pax, "ustar
// Interchange Format" and "pax Extended Header").
const (
	blockBytes = 512
	// maxName and maxOwner are the lengths of the fields for names.
	maxName, maxOwner = 100, 32
	// maxID and maxSize are the largest numbers of 7 and 11 octal digits.
	maxID   = 1<<21 - 1
	maxSize = 1<<33 - 1
)

// The type flags of entries.
const (
	flagFile     = '0'
	flagHardlink = '1'
	flagSymlink  = '2'
	flagDir      = '5'
	flagExtended = 'x'
)

// xattrRecord begins the PAX records of extended attributes, as star, GNU tar,
// bsdtar and Go write them.
const xattrRecord = "SCHILY.xattr."

// header is what the tar says about one entry.
type header struct {
	flag         byte
	name, link   string
	mode         uint32
	uid, gid     uint32
	uname, gname string
	size         int64 // of what follows the header
	mtime        int64 // seconds since 1970
	xattrs       map[string][]byte
	// sparse is the length of a file that is stored without its holes, or -1.
	sparse int64
}

// appendHeader appends the blocks of h to dst.
func appendHeader(dst []byte, h *header) []byte {
	name := h.name
	if h.sparse >= 0 {
		// What a reader that does not know sparse files makes of it (GNU tar
		// manual, "PAX Format, Version 1.0").
		name = path.Join(path.Dir(h.name), "GNUSparseFile.0", path.Base(h.name))
	}
	if records := h.records(name); len(records) > 0 {
		extended := header{flag: flagExtended, mode: 0o644, size: int64(len(records)), mtime: min(max(0, h.mtime), maxSize)}
		dst = appendBlock(dst, &extended, clip("PaxHeaders.0/"+path.Base(ascii(h.name)), maxName))
		dst = appendPadded(dst, records)
	}
	return appendBlock(dst, h, name)
}

// appendBlock appends the ustar header alone, with what fits into it.
func appendBlock(dst []byte, h *header, name string) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, blockBytes)...)
	b := dst[at:]
	copy(b[:maxName], ascii(name))
	octal(b[100:108], int64(h.mode), maxID)
	octal(b[108:116], int64(h.uid), maxID)
	octal(b[116:124], int64(h.gid), maxID)
	octal(b[124:136], h.size, maxSize)
	octal(b[136:148], h.mtime, maxSize)
	b[156] = h.flag
	copy(b[157:257], ascii(h.link))
	copy(b[257:], "ustar\x0000")
	copy(b[265:265+maxOwner-1], ascii(h.uname))
	copy(b[297:297+maxOwner-1], ascii(h.gname))
	copy(b[329:], "0000000\x000000000\x00")
	// The checksum is that of a header with blanks in its place.
	sum := int64(8 * ' ')
	for _, c := range b {
		sum += int64(c)
	}
	octal(b[148:155], sum, maxID)
	b[155] = ' '
	return dst
}

// records returns the PAX records that h needs, sorted by their keys.
func (h *header) records(name string) []byte {
	var out []byte
	add := func(key, value string) { out = appendRecord(out, key, value) }
	number := func(key string, value, limit int64) {
		if value < 0 || value > limit {
			add(key, strconv.FormatInt(value, 10))
		}
	}
	text := func(key, value string, limit int) {
		if len(value) > limit || !isASCII(value) {
			add(key, value)
		}
	}
	if h.sparse >= 0 {
		add("GNU.sparse.major", "1")
		add("GNU.sparse.minor", "0")
		add("GNU.sparse.name", h.name)
		add("GNU.sparse.realsize", strconv.FormatInt(h.sparse, 10))
	}
	if len(h.xattrs) > 0 {
		keys := make([]string, 0, len(h.xattrs))
		for key := range h.xattrs {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			add(xattrRecord+key, string(h.xattrs[key]))
		}
	}
	number("gid", int64(h.gid), maxID)
	text("gname", h.gname, maxOwner-1)
	text("linkpath", h.link, maxName)
	number("mtime", h.mtime, maxSize)
	text("path", name, maxName)
	number("size", h.size, maxSize)
	number("uid", int64(h.uid), maxID)
	text("uname", h.uname, maxOwner-1)
	return out
}

// appendRecord appends "LENGTH KEY=VALUE\n", where LENGTH counts the whole
// record and so itself.
func appendRecord(dst []byte, key, value string) []byte {
	rest := len(" ") + len(key) + len("=") + len(value) + len("\n")
	length := rest
	for digits := 0; digits != len(strconv.Itoa(length)); {
		digits = len(strconv.Itoa(length))
		length = rest + digits
	}
	dst = strconv.AppendInt(dst, int64(length), 10)
	dst = append(dst, ' ')
	dst = append(dst, key...)
	dst = append(dst, '=')
	dst = append(dst, value...)
	return append(dst, '\n')
}

// octal fills a field with digits and a NUL. What does not fit is left 0,
// because a record says it.
func octal(field []byte, v, limit int64) {
	if v < 0 || v > limit {
		v = 0
	}
	for i := len(field) - 2; i >= 0; i-- {
		field[i] = byte('0' + v&7)
		v >>= 3
	}
	field[len(field)-1] = 0
}

// padding is how much is missing to a whole block.
func padding(n int64) int { return int(-n & (blockBytes - 1)) }

func appendPadded(dst, content []byte) []byte {
	dst = append(dst, content...)
	return append(dst, make([]byte, padding(int64(len(content))))...)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// ascii leaves out what a header must not hold; a record has the whole text.
func ascii(s string) string {
	if isASCII(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r >= 0x80 {
			return -1
		}
		return r
	}, s)
}

func clip(s string, limit int) string { return s[:min(len(s), limit)] }

package archive

import "archive/tar"

// Header is a header of the tar for tests.
type Header struct {
	Flag         byte
	Name, Link   string
	Mode         uint32
	UID, GID     uint32
	Uname, Gname string
	Size, Mtime  int64
	Xattrs       map[string][]byte
	Sparse       int64
}

// The type flags for tests.
const (
	FlagFile    = flagFile
	FlagSymlink = flagSymlink
)

// AppendHeader appends the blocks of h to dst.
func AppendHeader(dst []byte, h *Header) []byte {
	return appendHeader(dst, &header{
		flag: h.Flag, name: h.Name, link: h.Link, mode: h.Mode, uid: h.UID, gid: h.GID, uname: h.Uname, gname: h.Gname,
		size: h.Size, mtime: h.Mtime, xattrs: h.Xattrs, sparse: h.Sparse,
	})
}

// The parts of sparse files for tests.
var (
	SparseMap     = sparseMap
	AppendPadded  = appendPadded
	CheckSegments = checkSegments
)

// Stored is how many bytes the segments hold.
func Stored(segments []Segment) int64 { return stored(segments) }

// NewDataReader is a reader of the data of a sparse file.
func NewDataReader(e Entry, r interface{ Read(p []byte) (int, error) }) interface{ Read(p []byte) (int, error) } {
	return &dataReader{content: r, segments: e.Data}
}

// XattrsOf returns the extended attributes that a header holds.
func XattrsOf(h *tar.Header) map[string][]byte { return xattrsOf(h) }

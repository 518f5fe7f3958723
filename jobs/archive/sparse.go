package archive

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/storage/object"
)

// maxSegments bounds how finely the holes of a file are told apart: what
// comes after so many segments is stored as one, holes included. It keeps the
// map of a file below the 1 MiB that readers accept.
const maxSegments = 16384

// Segment is a part of a sparse file that holds data: offset and length in
// bytes.
type Segment [2]int64

// end is the offset behind the segment.
func (s Segment) end() int64 { return s[0] + s[1] }

// segmentsOf asks the file system where an open file of that size holds data.
// sparse is false when there are no holes worth a map.
func segmentsOf(fd int, size int64) (segments []Segment, sparse bool) {
	for at := int64(0); at < size; {
		data, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || err == nil && data >= size {
			return segments, true // a hole up to the end
		}
		if err != nil {
			return nil, false // the file system does not tell
		}
		hole, err := unix.Seek(fd, data, unix.SEEK_HOLE)
		if err != nil || hole > size || len(segments) == maxSegments-1 {
			hole = size
		}
		segments = append(segments, Segment{data, hole - data})
		at = hole
	}
	return segments, len(segments) != 1 || segments[0][1] != size
}

// stored is how many bytes the segments hold.
func stored(segments []Segment) int64 {
	n := int64(0)
	for _, s := range segments {
		n += s[1]
	}
	return n
}

// sparseMap is the map that stands before the data of a sparse file: decimal
// numbers in lines, padded to a block (GNU tar manual, "PAX Format, Version
// 1.0").
func sparseMap(segments []Segment, size int64) []byte {
	all := segments
	if len(all) == 0 || all[len(all)-1].end() != size {
		// An empty segment at the end says how long the last hole is.
		all = append(slices.Clip(all), Segment{size, 0})
	}
	text := append(strconv.AppendInt(nil, int64(len(all)), 10), '\n')
	for _, s := range all {
		text = append(strconv.AppendInt(text, s[0], 10), '\n')
		text = append(strconv.AppendInt(text, s[1], 10), '\n')
	}
	return appendPadded(nil, text)
}

// checkSegments judges the segments that an index names.
func checkSegments(e Entry) error {
	at := int64(0)
	for _, s := range e.Data {
		if s[0] < at || s[1] < 0 || s[1] > e.Bytes || s[0] > e.Bytes-s[1] {
			return fmt.Errorf("%w: %s has impossible segments", object.ErrDamaged, shown(string(e.Name)))
		}
		at = s.end()
	}
	return nil
}

// dataReader reads the data of a sparse file out of its whole content.
type dataReader struct {
	content  io.Reader
	segments []Segment
	at       int64 // in the content
}

// Read implements io.Reader. What lies in holes must be zeros: a reader of the
// tar made them up.
func (r *dataReader) Read(p []byte) (int, error) {
	for len(r.segments) > 0 && r.segments[0].end() == r.at {
		r.segments = r.segments[1:]
	}
	if len(r.segments) == 0 {
		return 0, io.EOF
	}
	if skip := r.segments[0][0] - r.at; skip > 0 {
		n, err := io.CopyN(io.Discard, r.content, skip)
		r.at += n
		if err != nil {
			return 0, fmt.Errorf("skip a hole: %w", err)
		}
	}
	n, err := r.content.Read(p[:min(int64(len(p)), r.segments[0].end()-r.at)])
	r.at += int64(n)
	if errors.Is(err, io.EOF) {
		err = nil
		if n == 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

package s3_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"

	"github.com/ghosteam/upkeep/storage/object"
)

// BenchmarkPut compares a stream of unknown length through the store with the
// SDK's own uploader, which neither hashes the whole nor notes its upload, with
// parts and concurrency alike.
func BenchmarkPut(b *testing.B) {
	const size = 256 << 20
	chunk := body(1 << 20)
	stream := func() io.Reader {
		left := size
		return readerFunc(func(p []byte) (int, error) {
			if left <= 0 {
				return 0, io.EOF
			}
			n := copy(p[:min(len(p), left)], chunk)
			left -= n
			return n, nil
		})
	}
	o := options(b)
	o.PartSize, o.Profile = 16<<20, "aws"
	o.Region = "us-east-1"
	path := true
	o.PathStyle = &path
	store := open(b, o)
	client := raw(b)
	b.Run("store", func(b *testing.B) {
		b.SetBytes(size)
		for i := 0; b.Loop(); i++ {
			if _, err := store.Put(b.Context(), fmt.Sprintf("a/%d", i%2), stream(), object.PutOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("transfermanager", func(b *testing.B) {
		b.SetBytes(size)
		plain := transfermanager.New(client, func(t *transfermanager.Options) {
			t.PartSizeBytes, t.Concurrency, t.FailTimeout = 16<<20, o.Parallel, 30*time.Second
		})
		for i := 0; b.Loop(); i++ {
			if _, err := plain.UploadObject(b.Context(), &transfermanager.UploadObjectInput{
				Bucket: &o.Bucket, Key: aws.String(fmt.Sprintf("plain/%d", i%2)), Body: stream(),
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("small", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := store.Put(b.Context(), fmt.Sprintf("small/%d", i%10), bytes.NewReader(chunk[:1000]), object.PutOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

package s3

import "slices"

// The ways to protect the bytes of a request beyond the SHA-256 that every
// request is signed with.
const (
	sumNone   = "none"
	sumCRC32C = "crc32c"
	sumMD5    = "md5"
)

// profile is what one dialect of S3 allows and needs.
type profile struct {
	name string
	// endpoint is where it is, when the region says so; empty when the
	// endpoint must be given. %s stands for the region.
	endpoint string
	// region is the one to sign for when none is given; empty when it must be
	// given.
	region    string
	pathStyle bool
	// parts is the highest number of parts of one upload.
	parts int64
	// checksum is what requests carry; lockChecksum what they carry when
	// objects are locked, which demands one.
	checksum, lockChecksum string
	// conditional tells whether a write can be made to depend on the absence
	// of its object.
	conditional bool
	// batch tells whether many objects can be deleted at once.
	batch bool
}

// profiles are the dialects, as their makers document them:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
// https://developers.cloudflare.com/r2/api/s3/api/ (parts of equal length)
// https://www.backblaze.com/docs/cloud-storage-s3-compatible-api
// https://www.scaleway.com/en/docs/object-storage/reference-content/ (1,000 parts)
// https://cloud.google.com/storage/docs/migrating (XML API)
// All parts but the last are always equal, which all of them accept.
func profiles() []profile {
	return []profile{
		{name: "aws", region: "us-east-1", parts: 10_000, checksum: sumCRC32C, lockChecksum: sumCRC32C, conditional: true, batch: true},
		{name: "r2", region: "auto", pathStyle: true, parts: 10_000, checksum: sumNone, lockChecksum: sumMD5, conditional: true, batch: true},
		{name: "b2", endpoint: "https://s3.%s.backblazeb2.com", pathStyle: true, parts: 10_000, checksum: sumMD5, lockChecksum: sumMD5, batch: true},
		{name: "scaleway", endpoint: "https://s3.%s.scw.cloud", pathStyle: true, parts: 1_000, checksum: sumMD5, lockChecksum: sumMD5, batch: true},
		{name: "minio", region: "us-east-1", pathStyle: true, parts: 10_000, checksum: sumNone, lockChecksum: sumMD5, conditional: true, batch: true},
		{name: "gcs", endpoint: "https://storage.googleapis.com", region: "auto", pathStyle: true, parts: 10_000, checksum: sumMD5, lockChecksum: sumMD5},
		{name: "generic", region: "us-east-1", pathStyle: true, parts: 10_000, checksum: sumMD5, lockChecksum: sumMD5, conditional: true, batch: true},
	}
}

func lookupProfile(name string) (profile, bool) {
	i := slices.IndexFunc(profiles(), func(p profile) bool { return p.name == name })
	if i < 0 {
		return profile{}, false
	}
	return profiles()[i], true
}

package s3

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/registry"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/storage/object"
)

// The limits of Amazon S3, which the others share:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const (
	smallestPart = 5 << 20
	largestPart  = 5 << 30
	largestPool  = 4 << 30
)

// Options are the settings of an S3 store.
type Options struct {
	Bucket    string    `yaml:"bucket" required:"true" doc:"Name of the bucket, which must exist." example:"ghosteam-backups"`
	Prefix    string    `yaml:"prefix" doc:"What the keys of all objects begin with; a slash is added at its end." example:"prod/"`
	Profile   string    `yaml:"profile" enum:"aws,r2,b2,scaleway,minio,gcs,generic" doc:"Which dialect of S3 the server speaks. It sets how many parts an upload may have, which checksums are sent, how the bucket is addressed and what else may be asked of the server."`
	Region    string    `yaml:"region" doc:"Region of the bucket. Without it: the one of the SDK's environment or shared configuration, then the profile's own." example:"eu-central-1"`
	Endpoint  string    `yaml:"endpoint" doc:"URL of the server; not needed for aws, b2, scaleway and gcs." example:"https://minio.example.com:9000"`
	PathStyle *bool     `yaml:"path_style" doc:"Whether the bucket stands in the path of requests instead of the host name; the profile decides when it is not set."`
	Insecure  bool      `yaml:"insecure" doc:"Allows an endpoint of http:// that is not on this machine. What is stored can then be read and changed on its way."`
	CAFile    unit.Path `yaml:"ca_file" doc:"PEM file with the certificates of the authorities that are trusted for this server, instead of those of the system." example:"secrets/s3-ca.pem"`

	AccessKey    secret.String `yaml:"access_key" doc:"Access key. Without it the whole chain of the AWS SDK is asked: environment, shared files, web identity, container, instance." example:"${env:S3_ACCESS_KEY}"`
	SecretKey    secret.String `yaml:"secret_key" doc:"Secret that belongs to the access key." example:"${file:secrets/s3}"`
	SessionToken secret.String `yaml:"session_token" doc:"Session token, for temporary credentials."`

	PartSize   unit.Size     `yaml:"part_size" doc:"Length of the parts of an upload, 5MiB to 5GiB. All but the last are equal."`
	Parallel   int           `yaml:"parallel" doc:"How many parts of one object are held in memory and sent at once, 1 to 64. An object on its way takes up to parallel × part_size of memory."`
	Volume     unit.Size     `yaml:"volume" doc:"Longest object: a longer stream becomes several, which the manifest lists. part_size × the profile's number of parts is the most."`
	Timeout    unit.Duration `yaml:"timeout" doc:"How long a request may go without a byte moving in either direction, 1s to 1h."`
	Attempts   int           `yaml:"attempts" doc:"How often a request is sent at most, 1 to 20."`
	RetryDelay unit.Duration `yaml:"retry_delay" doc:"Pause before the second attempt; it doubles up to 20s, unless the server asks for another (Retry-After)."`
	Bandwidth  unit.Size     `yaml:"bandwidth" doc:"Bytes per second that uploads of this store may take together; 0 is no bound." example:"20MB"`
	Checksum   string        `yaml:"checksum" enum:"auto,none,crc32c,md5" doc:"What requests carry besides their signed SHA-256; auto is the profile's."`
	EncryptTo  unit.Names    `yaml:"encrypt_to" doc:"Public keys of age (age1…) to which every artifact in this store is encrypted, beside those of the job's own encrypt_to; name at least two, one of them kept offline." example:"[age1…, age1…]"`
	ObjectLock ObjectLock    `yaml:"object_lock" doc:"Locks what is stored against removal; the bucket must have been made for that."`
}

// ObjectLock is for how long objects cannot be removed.
type ObjectLock struct {
	Mode string `yaml:"mode" enum:"governance,compliance" doc:"governance: special rights can remove the lock; compliance: nobody can."`
	Days int    `yaml:"days" doc:"For how many days, 1 to 36500." example:"30"`
}

func defaults() Options {
	return Options{
		Profile: "aws", PartSize: 16 << 20, Parallel: 4, Volume: 4 << 30, Checksum: "auto",
		Timeout: unit.Duration(60 * time.Second), Attempts: 8, RetryDelay: unit.Duration(500 * time.Millisecond),
	}
}

var (
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html;
	// older buckets and other servers allow capitals and underscores.
	bucketPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$`)
	regionPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
)

// Validate judges the options; every complaint is a *registry.FieldError.
func (o *Options) Validate() error {
	return errors.Join(o.place(), o.server(), o.credentials(), o.sizes(), o.patience(), o.lock(), object.CheckRecipients(o.EncryptTo))
}

func (o *Options) place() error {
	var errs []error
	if !bucketPattern.MatchString(o.Bucket) {
		errs = append(errs, &registry.FieldError{
			Field: "bucket", Why: fmt.Sprintf("%q is not the name of a bucket", o.Bucket),
			Hint: "write its name alone, 3 to 63 letters, digits, dots and hyphens; a folder inside it goes to prefix",
		})
	}
	if prefix := strings.TrimSuffix(o.Prefix, "/"); prefix != "" {
		if err := object.CheckKey(prefix); err != nil || len(prefix) > 512 {
			errs = append(errs, &registry.FieldError{
				Field: "prefix", Why: fmt.Sprintf("%q cannot begin a key", o.Prefix),
				Hint: "write at most 512 bytes such as prod/, without a slash at the beginning",
			})
		}
	}
	if o.Region != "" && !regionPattern.MatchString(o.Region) {
		errs = append(errs, registry.Fieldf("region", "%q is not the name of a region", o.Region))
	}
	return errors.Join(errs...)
}

func (o *Options) server() error {
	var errs []error
	p, ok := lookupProfile(o.Profile)
	if !ok {
		return registry.Fieldf("profile", "there is no profile %q", o.Profile)
	}
	switch {
	case o.Endpoint != "":
		errs = append(errs, o.endpoint())
	case p.endpoint == "" && p.name != "aws":
		errs = append(errs, &registry.FieldError{
			Field: "endpoint", Why: "the profile " + p.name + " does not say where its server is",
			Hint: "write endpoint: with the URL of the server",
		})
	case strings.Contains(p.endpoint, "%s") && o.Region == "":
		errs = append(errs, &registry.FieldError{Field: "region", Why: "the profile " + p.name + " needs it to find its server", Hint: "write region: or endpoint:"})
	}
	if o.CAFile != "" {
		if _, err := readAuthorities(o.CAFile.String()); err != nil {
			errs = append(errs, registry.Fieldf("ca_file", "%v", err))
		}
	}
	return errors.Join(errs...)
}

func (o *Options) endpoint() error {
	u, err := url.Parse(o.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return &registry.FieldError{Field: "endpoint", Why: "it is not the URL of a server", Hint: "write for example https://minio.example.com:9000"}
	case u.User != nil:
		return &registry.FieldError{Field: "endpoint", Why: "it holds credentials", Hint: "write them as access_key: and secret_key:"}
	case u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return &registry.FieldError{Field: "endpoint", Why: "it holds more than a server", Hint: "write the bucket as bucket: and a folder as prefix:"}
	case u.Scheme == "http" && !o.Insecure && !onThisMachine(u.Hostname()):
		return &registry.FieldError{Field: "endpoint", Why: "without TLS everybody on the way can read and change what is stored", Hint: "write https://, or insecure: true when the way is safe"}
	}
	return nil
}

func onThisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func readAuthorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", path)
	}
	return pool, nil
}

func (o *Options) credentials() error {
	switch {
	case o.AccessKey.IsEmpty() && !o.SecretKey.IsEmpty():
		return registry.Fieldf("secret_key", "access_key is missing")
	case !o.AccessKey.IsEmpty() && o.SecretKey.IsEmpty():
		return registry.Fieldf("access_key", "secret_key is missing")
	case o.AccessKey.IsEmpty() && !o.SessionToken.IsEmpty():
		return registry.Fieldf("session_token", "access_key and secret_key are missing")
	}
	for field, s := range map[string]secret.String{"access_key": o.AccessKey, "secret_key": o.SecretKey, "session_token": o.SessionToken} {
		if strings.ContainsFunc(s.Reveal(), func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
			return &registry.FieldError{Field: field, Why: "it holds a space or a line end", Hint: "keep it in a file with one line"}
		}
	}
	return nil
}

func (o *Options) sizes() error {
	var errs []error
	p, _ := lookupProfile(o.Profile)
	if o.PartSize < smallestPart || o.PartSize > largestPart {
		errs = append(errs, registry.Fieldf("part_size", "%s is not within 5 MiB and 5 GiB", o.PartSize))
		return errors.Join(errs...)
	}
	switch most := min(p.parts*o.PartSize.Bytes(), 5<<40); {
	case o.Parallel < 1 || o.Parallel > 64:
		errs = append(errs, registry.Fieldf("parallel", "%d is not within 1 and 64", o.Parallel))
	case int64(o.Parallel)*o.PartSize.Bytes() > largestPool:
		errs = append(errs, registry.Fieldf("parallel", "%d parts of %s would take more than %s of memory", o.Parallel, o.PartSize, unit.Size(largestPool)))
	case o.Volume < o.PartSize:
		errs = append(errs, registry.Fieldf("volume", "%s is less than part_size, %s", o.Volume, o.PartSize))
	case o.Volume.Bytes() > most:
		errs = append(errs, &registry.FieldError{
			Field: "volume", Why: fmt.Sprintf("%s are more than %s, which %d parts of %s make", o.Volume, unit.Size(most), p.parts, o.PartSize),
			Hint: "raise part_size or lower volume",
		})
	}
	return errors.Join(errs...)
}

func (o *Options) patience() error {
	var errs []error
	if o.Timeout.Std() < time.Second || o.Timeout.Std() > time.Hour {
		errs = append(errs, registry.Fieldf("timeout", "%s is not within 1s and 1h", o.Timeout))
	}
	if o.Attempts < 1 || o.Attempts > 20 {
		errs = append(errs, registry.Fieldf("attempts", "%d is not within 1 and 20", o.Attempts))
	}
	if o.RetryDelay < 0 || o.RetryDelay.Std() > time.Minute {
		errs = append(errs, registry.Fieldf("retry_delay", "%s is more than 1m", o.RetryDelay))
	}
	if o.Bandwidth != 0 && o.Bandwidth < 16<<10 {
		errs = append(errs, registry.Fieldf("bandwidth", "%s per second is less than 16 KiB", o.Bandwidth))
	}
	return errors.Join(errs...)
}

func (o *Options) lock() error {
	switch l := o.ObjectLock; {
	case l == (ObjectLock{}):
		return nil
	case l.Mode == "":
		return registry.Fieldf("object_lock.mode", "it is missing: write governance or compliance")
	case l.Days < 1 || l.Days > 36500:
		return registry.Fieldf("object_lock.days", "%d is not within 1 and 36500", l.Days)
	case o.Checksum == sumNone:
		return registry.Fieldf("checksum", "object_lock needs one")
	}
	return nil
}

package s3_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/registry"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
	"github.com/ghosteam/upkeep/storage/object/s3"
)

var eof = io.EOF

func TestOptions(t *testing.T) {
	t.Parallel()
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*s3.Options)
		field  string // "" means that the options are good
	}{
		"least":                     {func(*s3.Options) {}, ""},
		"no bucket":                 {func(o *s3.Options) { o.Bucket = "" }, "bucket"},
		"a path as bucket":          {func(o *s3.Options) { o.Bucket = "bucket/folder" }, "bucket"},
		"a URL as bucket":           {func(o *s3.Options) { o.Bucket = "s3://bucket" }, "bucket"},
		"prefix climbs":             {func(o *s3.Options) { o.Prefix = "../other" }, "prefix"},
		"prefix begins with slash":  {func(o *s3.Options) { o.Prefix = "/prod" }, "prefix"},
		"prefix of our own":         {func(o *s3.Options) { o.Prefix = ".upkeep-uploads/" }, "prefix"},
		"region":                    {func(o *s3.Options) { o.Region = "eu west/1" }, "region"},
		"minio without endpoint":    {func(o *s3.Options) { o.Profile = "minio" }, "endpoint"},
		"r2 with endpoint":          {func(o *s3.Options) { o.Profile, o.Endpoint = "r2", "https://0123.r2.cloudflarestorage.com" }, ""},
		"b2 without region":         {func(o *s3.Options) { o.Profile = "b2" }, "region"},
		"b2":                        {func(o *s3.Options) { o.Profile, o.Region = "b2", "us-west-004" }, ""},
		"no such profile":           {func(o *s3.Options) { o.Profile = "azure" }, "profile"},
		"endpoint without scheme":   {func(o *s3.Options) { o.Endpoint = "minio:9000" }, "endpoint"},
		"endpoint with credentials": {func(o *s3.Options) { o.Endpoint = "https://me:secret@minio" }, "endpoint"},
		"endpoint with bucket":      {func(o *s3.Options) { o.Endpoint = "https://minio/bucket" }, "endpoint"},
		"endpoint in the clear":     {func(o *s3.Options) { o.Endpoint = "http://minio:9000" }, "endpoint"},
		"insecure":                  {func(o *s3.Options) { o.Endpoint, o.Insecure = "http://minio:9000", true }, ""},
		"this machine":              {func(o *s3.Options) { o.Endpoint = "http://[::1]:9000" }, ""},
		"authorities missing":       {func(o *s3.Options) { o.CAFile = "/nowhere/ca.pem" }, "ca_file"},
		"authorities not PEM":       {func(o *s3.Options) { o.CAFile = unit.Path(notPEM) }, "ca_file"},
		"secret alone":              {func(o *s3.Options) { o.SecretKey = secret.New("x") }, "secret_key"},
		"key alone":                 {func(o *s3.Options) { o.AccessKey = secret.New("x") }, "access_key"},
		"token alone":               {func(o *s3.Options) { o.SessionToken = secret.New("x") }, "session_token"},
		"line end in secret":        {func(o *s3.Options) { o.AccessKey, o.SecretKey = secret.New("x"), secret.New("y\n") }, "secret_key"},
		"small parts":               {func(o *s3.Options) { o.PartSize = 1 << 20 }, "part_size"},
		"large parts":               {func(o *s3.Options) { o.PartSize = 6 << 30 }, "part_size"},
		"parallel 0":                {func(o *s3.Options) { o.Parallel = 0 }, "parallel"},
		"memory":                    {func(o *s3.Options) { o.PartSize, o.Parallel, o.Volume = 1<<30, 8, 8<<30 }, "parallel"},
		"volume below a part":       {func(o *s3.Options) { o.Volume = 1 << 20 }, "volume"},
		"volume of too many parts":  {func(o *s3.Options) { o.Volume = 200 << 30 }, "volume"},
		"scaleway: a thousand":      {func(o *s3.Options) { o.Profile, o.Region, o.Volume = "scaleway", "fr-par", 16<<30 }, "volume"},
		"timeout":                   {func(o *s3.Options) { o.Timeout = 0 }, "timeout"},
		"attempts":                  {func(o *s3.Options) { o.Attempts = 0 }, "attempts"},
		"retry_delay":               {func(o *s3.Options) { o.RetryDelay = unit.Duration(time.Hour) }, "retry_delay"},
		"bandwidth":                 {func(o *s3.Options) { o.Bandwidth = 10 }, "bandwidth"},
		"no recipient":              {func(o *s3.Options) { o.EncryptTo = unit.Names{"me@example.com"} }, "encrypt_to"},
		"lock without days":         {func(o *s3.Options) { o.ObjectLock.Mode = "compliance" }, "object_lock.days"},
		"lock without mode":         {func(o *s3.Options) { o.ObjectLock.Days = 3 }, "object_lock.mode"},
		"lock without checksum":     {func(o *s3.Options) { o.ObjectLock, o.Checksum = s3.ObjectLock{Mode: "compliance", Days: 3}, "none" }, "checksum"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := s3.Defaults()
			o.Bucket = "backups"
			tt.change(&o)
			_, err := s3.Open("offsite", o)
			field, ok := errors.AsType[*registry.FieldError](err)
			if tt.field == "" && err != nil || tt.field != "" && (!ok || field.Field != tt.field) {
				t.Errorf("Open: %v, want a complaint about %q", err, tt.field)
			}
			if err != nil && strings.Contains(err.Error(), "secret@") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

// Without credentials of its own the store asks the SDK's chain, says which
// link answered, and what to do when none did. It changes the environment and
// runs alone.
func TestCredentialChain(t *testing.T) {
	server := objecttest.NewS3Server(t, objecttest.S3Dialect{})
	o := hostile(server)
	o.AccessKey, o.SecretKey = secret.String{}, secret.String{}
	dir := t.TempDir()
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "credentials"))
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"} {
		t.Setenv(name, "")
	}
	err := open(t, o).Check(t.Context())
	if !errors.Is(err, object.ErrDenied) || !strings.Contains(hintOf(err), "AWS_ACCESS_KEY_ID") {
		t.Errorf("without any: %v (hint: %s)", err, hintOf(err))
	}
	text := fmt.Sprintf("[default]\naws_access_key_id=%s\naws_secret_access_key=%s\n", server.AccessKey, server.SecretKey)
	if err := os.WriteFile(filepath.Join(dir, "credentials"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := open(t, o).Probe(t.Context())[0]; got.Err != nil || !strings.Contains(got.Detail, "SharedConfig") {
		t.Errorf("from a shared file: %+v", got)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIASTRANGER")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "stranger")
	err = open(t, o).Check(t.Context())
	if !errors.Is(err, object.ErrDenied) || !strings.Contains(hintOf(err), "EnvConfigCredentials") {
		t.Errorf("a stranger's from the environment: %v (hint: %s)", err, hintOf(err))
	}
}

// A secret reaches the server as a signature only, and errors not at all.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	planted := "Pl4nted+Secret/With=Signs"
	token := "Pl4ntedT0ken%2Fencoded"
	server := objecttest.NewS3Server(t, objecttest.S3Dialect{},
		objecttest.S3Fault{Operation: objecttest.GetObject, Forever: true, Status: 403, Code: planted},
		objecttest.S3Fault{Operation: objecttest.PutObject, Forever: true, Status: 400, Code: "Odd X-Amz-Signature=0123abcd " + token})
	o := hostile(server)
	o.SecretKey, o.SessionToken, o.Attempts = secret.New(planted), secret.New(token), 1
	store := open(t, o)
	_, _, getErr := store.Get(t.Context(), "a")
	_, putErr := store.Put(t.Context(), "a", strings.NewReader("x"), object.PutOptions{})
	encoded, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%+v %#v", getErr, getErr), fmt.Sprintf("%+v %#v", putErr, putErr), fmt.Sprintf("%+v", o), string(encoded)} {
		for _, bad := range []string{planted, token, "0123abcd"} {
			if strings.Contains(text, bad) {
				t.Errorf("%q is in %s", bad, text)
			}
		}
	}
	for _, h := range server.Headers() {
		if strings.Contains(fmt.Sprint(h), planted) {
			t.Error("the secret key was sent")
		}
	}
	if getErr == nil || putErr == nil {
		t.Error("nothing failed")
	}
}

func TestBandwidth(t *testing.T) {
	t.Parallel()
	server := objecttest.NewS3Server(t, objecttest.S3Dialect{})
	o := hostile(server)
	o.Bandwidth = 1 << 20
	store := open(t, o)
	began := time.Now()
	if _, err := store.Put(t.Context(), "a", strings.NewReader(strings.Repeat("x", 1<<20)), object.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("1 MiB at 1 MiB/s took %s", took)
	}
}

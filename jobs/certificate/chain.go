package certificate

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// mostFile bounds how much of a file of certificates is read.
const mostFile = 1 << 20

// chain is a certificate and what came with it.
type chain struct {
	leaf *x509.Certificate
	rest []*x509.Certificate
}

// fingerprint identifies the certificate.
func (c *chain) fingerprint() [sha256.Size]byte { return sha256.Sum256(c.leaf.Raw) }

// left is how much of the lifetime is left at an instant: as a time, which is
// below 0 after the end, and as a share, 0 to 100.
func (c *chain) left(now time.Time) (time.Duration, float64) {
	left := c.leaf.NotAfter.Sub(now)
	whole := c.leaf.NotAfter.Sub(c.leaf.NotBefore)
	if whole <= 0 || left <= 0 {
		return left, 0
	}
	return left, min(100*float64(left)/float64(whole), 100)
}

// verify tells why the chain does not lead to a trusted authority by itself.
// Whether the certificate has expired is another question.
func (c *chain) verify(roots *x509.CertPool, now time.Time) error {
	others := x509.NewCertPool()
	for _, r := range c.rest {
		others.AddCert(r)
	}
	if now.After(c.leaf.NotAfter) {
		now = c.leaf.NotAfter.Add(-time.Second)
	}
	if now.Before(c.leaf.NotBefore) {
		now = c.leaf.NotBefore.Add(time.Second)
	}
	_, err := c.leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		switch {
		case bytes.Equal(c.leaf.RawIssuer, c.leaf.RawSubject):
			return errors.New("it is self-signed and not trusted")
		case len(c.rest) == 0:
			return fmt.Errorf("the chain is incomplete: the certificate of its issuer, %s, is missing", c.leaf.Issuer)
		case unknown.Cert != nil:
			last := c.rest[len(c.rest)-1]
			return fmt.Errorf("the chain does not lead to a trusted authority: it ends with %s, issued by %s", last.Subject, last.Issuer)
		}
	}
	return err
}

// readChain reads a file of certificates, the first of which is the one that
// it is about.
func readChain(path string) (*chain, error) {
	text, _, err := readFile(path)
	if err != nil {
		return nil, err
	}
	c := &chain{}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: a certificate in it cannot be read: %w", path, err)
		}
		if c.leaf == nil {
			c.leaf = one
		} else {
			c.rest = append(c.rest, one)
		}
	}
	if c.leaf == nil {
		return nil, fmt.Errorf("%s holds no certificate in the form PEM", path)
	}
	return c, nil
}

// readFile reads an ordinary file.
func readFile(path string) (_ []byte, mode os.FileMode, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is not an ordinary file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, info.Mode(), err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, mostFile+1))
	if err == nil && len(text) > mostFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, mostFile)
	}
	return text, info.Mode(), err
}

// errEncrypted says that a key cannot be compared.
var errEncrypted = errors.New("the key is encrypted and cannot be compared with the certificate")

// publicKey reads the key in a file and returns its public half.
func publicKey(text []byte) (crypto.PublicKey, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, errors.New("there is no key in the form PEM")
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, errEncrypted
			}
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, errEncrypted
			}
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errEncrypted
		default:
			continue
		}
		if err != nil {
			return nil, errors.New("the key cannot be read") // the cause could show a part of it
		}
		if signer, ok := key.(crypto.Signer); ok {
			return signer.Public(), nil
		}
		return nil, errors.New("the key is of no known kind")
	}
}

// belongs tells whether a key is that of a certificate.
func belongs(key crypto.PublicKey, c *x509.Certificate) bool {
	public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(key)
}

// fromState is the chain that a server showed.
func fromState(state tls.ConnectionState) (*chain, error) {
	if len(state.PeerCertificates) == 0 {
		return nil, errors.New("the server shows no certificate")
	}
	return &chain{leaf: state.PeerCertificates[0], rest: state.PeerCertificates[1:]}, nil
}

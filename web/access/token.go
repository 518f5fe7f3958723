package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"regexp"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// TokenPrefix begins every token, so that programs that look for leaked secrets
// find them: TokenPattern has no false positives to speak of, for the last
// characters are a checksum of the others.
const TokenPrefix = "upk_"

// TokenPattern is the regular expression of a token.
const TokenPattern = `\bupk_[a-z2-7]{58}\b` //nolint:gosec // no token fits less

const (
	// tokenSecret is how many bytes of a token are random, tokenSum how many are
	// the checksum behind them.
	tokenSecret = 32
	tokenSum    = 4
)

// tokenForm matches a token and nothing else.
var tokenForm = regexp.MustCompile(`^upk_[a-z2-7]{58}$`)

// lower is the alphabet of RFC 4648, section 6, in small letters.
func lower() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

// NewToken makes the text of a token with 256 random bits, and what is kept of
// it.
func NewToken() (secret.String, runner.TokenDigest, error) {
	raw := make([]byte, tokenSecret, tokenSecret+tokenSum)
	if _, err := rand.Read(raw); err != nil {
		return secret.String{}, runner.TokenDigest{}, fmt.Errorf("make a token: %w", err)
	}
	raw = binary.BigEndian.AppendUint32(raw, crc32.ChecksumIEEE(raw))
	text := TokenPrefix + lower().EncodeToString(raw)
	return secret.New(text), sha256.Sum256([]byte(text)), nil
}

// DigestOf returns what is kept of a token; whole is false when the text is no
// token, or one with a mistake.
func DigestOf(text string) (digest runner.TokenDigest, whole bool) {
	if !tokenForm.MatchString(text) {
		return digest, false
	}
	raw, err := lower().DecodeString(text[len(TokenPrefix):])
	if err != nil || len(raw) != tokenSecret+tokenSum || crc32.ChecksumIEEE(raw[:tokenSecret]) != binary.BigEndian.Uint32(raw[tokenSecret:]) {
		return digest, false
	}
	return sha256.Sum256([]byte(text)), true
}

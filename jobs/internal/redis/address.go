// Package redis is how kinds speak with Redis: it connects, and knows what sort
// of server answers. It knows nothing of jobs, and refuses to send a password to
// a server whose certificate it could not verify, and to send a FLUSH command.
package redis

import (
	"github.com/ghosteam/upkeep/configs/redisurl"
	"github.com/ghosteam/upkeep/configs/secret"
)

// Address is where and how to connect.
type Address = redisurl.Address

// ParseAddress reads a URL as redisurl.Parse does.
func ParseAddress(text secret.String) (Address, error) { return redisurl.Parse(text) }

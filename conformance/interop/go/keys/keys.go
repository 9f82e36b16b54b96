// Package keys makes the identities that the contract names.
package keys

import (
	"crypto/ed25519"
	"crypto/rand"

	"github.com/libp2p/go-libp2p/core/crypto"

	"libp2p-proto.invalid/interop/contract"
)

// All are the names of the key types that go-libp2p has.
var All = []string{"ed25519", "secp256k1", "ecdsa", "rsa"}

const rsaBits = 2048

// Make makes the identity that the options ask for.
func Make(options *contract.Options) (crypto.PrivKey, error) {
	if options.Seed != nil {
		return crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(options.Seed))
	}
	kind, bits := crypto.Ed25519, 0
	switch options.Key {
	case "secp256k1":
		kind = crypto.Secp256k1
	case "ecdsa":
		kind = crypto.ECDSA
	case "rsa":
		kind, bits = crypto.RSA, rsaBits
	}
	key, _, err := crypto.GenerateKeyPairWithReader(kind, bits, rand.Reader)
	return key, err
}

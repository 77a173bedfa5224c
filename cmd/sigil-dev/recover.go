package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"golang.org/x/crypto/sha3"
)

// recoverEVM returns the address whose key made an EIP-191 signature of a
// message (65 bytes r ‖ s ‖ v, 0x-hex). It uses another implementation of the
// curve than the workload, which would otherwise check itself.
func recoverEVM(message, signature string) (string, error) {
	digits, ok := strings.CutPrefix(signature, "0x")
	sig, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sig) != 65 {
		return "", errors.New("not an EVM signature")
	}
	compact := append([]byte{sig[64]}, sig[:64]...)
	digest := keccak([]byte("\x19Ethereum Signed Message:\n" + strconv.Itoa(len(message)) + message))
	pub, _, err := ecdsa.RecoverCompact(compact, digest)
	if err != nil {
		return "", fmt.Errorf("recover the signer: %w", err)
	}
	return "0x" + hex.EncodeToString(keccak(pub.SerializeUncompressed()[1:])[12:]), nil
}

func keccak(data []byte) []byte {
	h := sha3.NewLegacyKeccak256()
	h.Write(data)
	return h.Sum(nil)
}

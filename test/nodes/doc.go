// Package nodes has real chain nodes take what Sigil signs: go-ethereum's node
// in process with its development chain, and ERC-4337's entry points on it;
// btcd's chain with all script checks; and Solana's virtual machine. It is a
// module of its own, so that none of them is near the shipped one.
//
// `make nodes` runs it.
package nodes

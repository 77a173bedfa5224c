// Package google tests the emulated cloud with Google's own clients for
// Node.js, unchanged and in a process of their own: what a deployment's other
// programs would use. Its Go clients are tested in internal/cloudsim.
//
// `make google-clients` fetches them; `make test` does that first.
package google

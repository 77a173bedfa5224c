// Package vectors runs published test data through the workload's own entry
// points: each entry's key is split, sealed and certified as a wallet, and its
// message goes through Put and Decide like any request. What isn't in scope of
// the registered networks is counted and named, never passed over silently.
//
// Files: ../shared/vectors beside the checkout where it exists, this
// package's testdata, and any named by SIGIL_EXTRA_VECTORS (colon-separated).
package vectors

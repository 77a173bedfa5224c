// Package oracle compares the digests that Sigil signs with those of two
// independent JavaScript libraries, over generated transactions and documents,
// whole and broken. The rule: the three digests are equal, or Sigil refuses. It
// may refuse what both libraries take for the reasons that docs/DIFFERENTIAL.md
// explains alone; and it takes nothing that a library refuses, but for limits
// of the library's own that are listed there too.
//
// A run has a seed (SIGIL_TEST_SEED) and so many cases of each family
// (SIGIL_TEST_CASES, 2,000 by default); `make differential` has 100,000.
//
// TestBuilt goes the other way: what Sigil builds is what other libraries make of
// the same arguments.
package oracle

// Package archtest holds the tests of the source tree as a whole: which
// package may import which, what the workload links, and the house rules that
// no compiler knows. It has no code of its own.
package archtest

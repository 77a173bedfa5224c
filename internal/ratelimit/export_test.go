package ratelimit

// Unreserved is Leased that doesn't keep free what others may hold: a canary.
func Unreserved[K comparable](l *Leased[K]) *Leased[K] {
	l.terms.loose = true
	return l
}

// Trusting is Leased that isn't low where it doesn't know: a canary.
func Trusting[K comparable](l *Leased[K]) *Leased[K] {
	l.trusting = true
	return l
}

// LeaseLife is how long tokens may be held.
const LeaseLife = leaseLife

// MaxHolders is how many processes may hold tokens of a budget.
const MaxHolders = maxHolders

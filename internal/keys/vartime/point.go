package vartime

// affine is a point of y² = x³ + 7 other than infinity.
type affine struct{ x, y element }

// jacobian is (X/Z², Y/Z³); Z = 0 is infinity.
type jacobian struct{ x, y, z element }

// cached is a jacobian that is added many times.
type cached struct {
	jacobian
	zz, zzz element
}

func (q *cached) set(p *jacobian) {
	q.jacobian = *p
	q.zz.square(&p.z)
	q.zzz.mul(&q.zz, &p.z)
}

// double sets r to 2p (EFD dbl-2009-l). No point of this curve has order 2,
// and infinity stays infinity.
func (r *jacobian) double(p *jacobian) {
	var a, b, cc, d, e, f, z element
	a.square(&p.x)
	b.square(&p.y)
	cc.square(&b)
	d.add(&p.x, &b)
	d.square(&d)
	d.sub(&d, &a)
	d.sub(&d, &cc)
	d.add(&d, &d)
	e.add(&a, &a)
	e.add(&e, &a)
	f.square(&e)
	z.mul(&p.y, &p.z)
	r.z.add(&z, &z)
	r.x.sub(&f, &d)
	r.x.sub(&r.x, &d)
	cc.add(&cc, &cc)
	cc.add(&cc, &cc)
	cc.add(&cc, &cc)
	d.sub(&d, &r.x)
	r.y.mul(&e, &d)
	r.y.sub(&r.y, &cc)
}

// addAffine sets r to r + (x, y).
func (r *jacobian) addAffine(x, y *element) {
	if r.z.isZero() {
		*r = jacobian{*x, *y, element{1}}
		return
	}
	var zz, u, s element
	zz.square(&r.z)
	u.mul(x, &zz)
	s.mul(y, &zz)
	s.mul(&s, &r.z)
	r.join(&r.x, &r.y, &u, &s, nil)
}

// addCached sets r to r + q, or to r - q if negate is set.
func (r *jacobian) addCached(q *cached, negate bool) {
	y := q.y
	if negate {
		y.negate(&y)
	}
	if r.z.isZero() {
		*r = jacobian{q.x, y, q.z}
		return
	}
	var zz, u1, s1, u2, s2 element
	zz.square(&r.z)
	u1.mul(&r.x, &q.zz)
	s1.mul(&r.y, &q.zzz)
	u2.mul(&q.x, &zz)
	s2.mul(&y, &zz)
	s2.mul(&s2, &r.z)
	r.join(&u1, &s1, &u2, &s2, &q.z)
}

// join finishes an addition: (u1, s1) and (u2, s2) are the two points' x and y
// over a common denominator, r is the first point, z2 the second's Z (nil: 1).
func (r *jacobian) join(u1, s1, u2, s2, z2 *element) {
	var h, rr element
	h.sub(u2, u1)
	rr.sub(s2, s1)
	if h.isZero() {
		if rr.isZero() {
			r.double(r)
		} else {
			*r = jacobian{}
		}
		return
	}
	var hh, hhh, v, y1 element
	y1 = *s1
	hh.square(&h)
	hhh.mul(&h, &hh)
	v.mul(u1, &hh)
	if z2 != nil {
		r.z.mul(&r.z, z2)
	}
	r.z.mul(&r.z, &h)
	r.x.square(&rr)
	r.x.sub(&r.x, &hhh)
	r.x.sub(&r.x, &v)
	r.x.sub(&r.x, &v)
	v.sub(&v, &r.x)
	rr.mul(&rr, &v)
	y1.mul(&y1, &hhh)
	r.y.sub(&rr, &y1)
}

// decompress reads a compressed public key (SEC 1 section 2.3.4).
func decompress(b []byte) (q affine, ok bool) {
	if len(b) != 33 || b[0]&^1 != 2 || !q.x.setBytes(b[1:]) {
		return q, false
	}
	var yy element
	yy.square(&q.x)
	yy.mul(&yy, &q.x)
	yy.add(&yy, &element{7})
	if !q.y.sqrt(&yy) {
		return q, false
	}
	if n := q.y.normal(); byte(n[0]&1) != b[0]&1 {
		q.y.negate(&q.y)
	}
	return q, true
}

package slo

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Decimal is an exact decimal number in billionths. Targets, factors and
// weights are Decimals so that thresholds such as 14.4 × (1 − 0.999) come out
// as 0.0144 and not as 0.014399999…. Its range is about ±9.2 billion.
type Decimal int64

// One is the Decimal 1.
const One Decimal = 1_000_000_000

// ParseDecimal reads a plain or scientific decimal number, such as 99.95 or
// 1e-3. It refuses what it cannot hold exactly: more than nine decimals, NaN,
// infinities, and numbers beyond the range.
func ParseDecimal(s string) (Decimal, error) {
	text := strings.ReplaceAll(strings.TrimSpace(s), "_", "")
	mantissa, exponent := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		e, err := strconv.Atoi(text[i+1:])
		if err != nil || e < -30 || e > 30 {
			return 0, fmt.Errorf("%q is not a decimal number", s)
		}
		mantissa, exponent = text[:i], e
	}
	negative := strings.HasPrefix(mantissa, "-")
	mantissa = strings.TrimPrefix(strings.TrimPrefix(mantissa, "-"), "+")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not a decimal number", s)
	}
	// The value is digits × 10^(exponent − len(fraction)); in billionths, nine more.
	shift := exponent - len(fraction) + 9
	digits = strings.TrimLeft(digits, "0")
	for shift < 0 && strings.HasSuffix(digits, "0") {
		digits, shift = digits[:len(digits)-1], shift+1
	}
	if digits == "" {
		return 0, nil
	}
	if shift < 0 {
		return 0, fmt.Errorf("%q has more than nine decimals", s)
	}
	if len(digits)+shift > 19 {
		return 0, fmt.Errorf("%q is too large", s)
	}
	n, err := strconv.ParseInt(digits+strings.Repeat("0", shift), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is too large", s)
	}
	if negative {
		n = -n
	}
	return Decimal(n), nil
}

// MustDecimal is ParseDecimal for constants; it panics on an error.
func MustDecimal(s string) Decimal {
	d, err := ParseDecimal(s)
	if err != nil {
		panic(err)
	}
	return d
}

// Mul is d × o, rounded to the nearest billionth; it saturates at the range.
func (d Decimal) Mul(o Decimal) Decimal {
	hi, lo := bits.Mul64(magnitude(d), magnitude(o))
	lo, carry := bits.Add64(lo, uint64(One)/2, 0)
	hi += carry
	if hi >= uint64(One) {
		return signed(math.MaxInt64, (d < 0) != (o < 0))
	}
	q, _ := bits.Div64(hi, lo, uint64(One))
	return signed(min(q, math.MaxInt64), (d < 0) != (o < 0))
}

// Float64 is the nearest float64.
func (d Decimal) Float64() float64 { return float64(d) / float64(One) }

// String is the shortest exact decimal, such as 0.999.
func (d Decimal) String() string {
	m := magnitude(d)
	s := strconv.FormatUint(m/uint64(One), 10)
	if frac := m % uint64(One); frac != 0 {
		s += "." + strings.TrimRight(fmt.Sprintf("%09d", frac), "0")
	}
	if d < 0 {
		return "-" + s
	}
	return s
}

// Percent is d × 100 with a percent sign, such as 99.9%.
func (d Decimal) Percent() string { return d.Mul(100*One).String() + "%" }

// ParsePercent reads a share above 0 and up to 1: 5%, or 0.05.
func ParsePercent(text string) (Decimal, error) {
	digits, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	d, err := ParseDecimal(strings.TrimSpace(digits))
	if percent {
		d /= 100
	}
	if err == nil && (d <= 0 || d > One) {
		err = fmt.Errorf("%s is not above 0 and up to 100%%", text)
	}
	return d, err
}

// MarshalJSON writes d as a JSON number.
func (d Decimal) MarshalJSON() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalJSON reads a JSON number, or a string holding one.
func (d *Decimal) UnmarshalJSON(b []byte) error {
	v, err := ParseDecimal(strings.Trim(string(b), `"`))
	*d = v
	return err
}

func magnitude(d Decimal) uint64 {
	if d < 0 {
		return uint64(-d)
	}
	return uint64(d)
}

func signed(m uint64, negative bool) Decimal {
	if negative {
		return -Decimal(m)
	}
	return Decimal(m)
}

// Amount is an exact quantity of budget, in whole units and billionths of one.
// Its unit is the objective's: events for Occurrences, slices otherwise.
type Amount struct {
	whole int64 // rounded towards minus infinity
	nano  int64 // 0 ≤ nano < 1e9
}

// Units is an Amount of n whole units.
func Units(n int64) Amount { return Amount{whole: n} }

// amountOf is n × share ÷ scale: the part of n counts that share (0 to 1)
// allows, where scale counts make one unit (1 or 1e9). It is exact to the
// billionth of a unit.
func amountOf(n int64, share Decimal, scale int64) Amount {
	if n <= 0 || share <= 0 {
		return Amount{}
	}
	hi, lo := bits.Mul64(uint64(n), uint64(share))
	if scale == 1 {
		if hi >= uint64(One) {
			return Amount{whole: math.MaxInt64}
		}
		q, r := bits.Div64(hi, lo, uint64(One))
		return Amount{whole: int64(min(q, math.MaxInt64)), nano: int64(r)}
	}
	unit := uint64(One) * uint64(scale)
	if hi >= unit {
		return Amount{whole: math.MaxInt64}
	}
	q, r := bits.Div64(hi, lo, unit)
	return Amount{whole: int64(q), nano: int64(r / uint64(scale))}
}

// Sub is a − b.
func (a Amount) Sub(b Amount) Amount {
	d := Amount{whole: a.whole - b.whole, nano: a.nano - b.nano}
	if d.nano < 0 {
		d.whole, d.nano = d.whole-1, d.nano+int64(One)
	}
	return d
}

// Cmp is −1, 0 or +1 as a is less than, equal to or greater than b.
func (a Amount) Cmp(b Amount) int {
	switch {
	case a == b:
		return 0
	case a.whole < b.whole || a.whole == b.whole && a.nano < b.nano:
		return -1
	}
	return 1
}

// IsZero reports whether a is nothing.
func (a Amount) IsZero() bool { return a == Amount{} }

// Float64 is the nearest float64.
func (a Amount) Float64() float64 { return float64(a.whole) + float64(a.nano)/float64(One) }

// String is the exact decimal, such as 7.2.
func (a Amount) String() string {
	if a.whole < 0 {
		m := Amount{}.Sub(a)
		return "-" + m.String()
	}
	s := strconv.FormatInt(a.whole, 10)
	if a.nano != 0 {
		s += "." + strings.TrimRight(fmt.Sprintf("%09d", a.nano), "0")
	}
	return s
}

// MarshalJSON writes a as a JSON number.
func (a Amount) MarshalJSON() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalJSON reads what MarshalJSON writes.
func (a *Amount) UnmarshalJSON(b []byte) error {
	text := string(b)
	negative := strings.HasPrefix(text, "-")
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) > 9 {
		return fmt.Errorf("%.40q is not an amount", text)
	}
	nano, err := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	if err != nil || nano < 0 {
		return fmt.Errorf("%.40q is not an amount", text)
	}
	*a = Amount{whole: n, nano: nano}
	if negative {
		*a = Amount{}.Sub(*a)
	}
	return nil
}

// scaleCount is n × span ÷ per, rounded to the nearest whole, saturating.
func scaleCount(n int64, span, per time.Duration) int64 {
	if n <= 0 || span <= 0 || per <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(n), uint64(span))
	lo, carry := bits.Add64(lo, uint64(per)/2, 0)
	hi += carry
	if hi >= uint64(per) {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, uint64(per))
	return int64(min(q, math.MaxInt64))
}

package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parse reads one value as it stands in the environment, in a flag or, for all
// kinds but List, in a scalar of the file. Its errors never hold a secret.
func (k Key) parse(text string) (any, error) {
	switch k.Kind {
	case Bool:
		if text != "true" && text != "false" {
			return nil, k.refuse(text)
		}
		return text == "true", nil
	case Int:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || !k.within(n) {
			return nil, k.refuse(text)
		}
		return int(n), nil
	case Duration:
		return k.parseDuration(text)
	case Size:
		n, err := parseSize(text)
		if err != nil || !k.within(n) {
			return nil, k.refuse(text)
		}
		return n, nil
	case List:
		items, err := splitList(text)
		if err != nil {
			return nil, err
		}
		return k.list(items)
	}
	return k.text(text)
}

func (k Key) parseDuration(text string) (any, error) {
	// 0 is the one number that needs no unit: "never" where that is allowed.
	if text != "0" && isBareNumber(text) {
		return nil, fmt.Errorf("%s is a bare number where a duration is due; write %ss (seconds) or another unit", text, text)
	}
	d, err := time.ParseDuration(text)
	if err != nil || !k.within(int64(d)) {
		return nil, k.refuse(text)
	}
	return d, nil
}

// isBareNumber reports whether text is digits, with a sign or a fraction or not.
func isBareNumber(text string) bool {
	if strings.HasPrefix(text, "-") || strings.HasPrefix(text, "+") {
		text = text[1:]
	}
	whole, fraction, parted := strings.Cut(text, ".")
	return isDigits(whole) && (!parted || isDigits(fraction))
}

func isDigits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// text checks one text.
func (k Key) text(s string) (any, error) {
	switch {
	case k.Secret && s == redacted:
		return nil, errors.New("is ***, which is printed in place of a secret; give the secret itself, or its file")
	case len(k.OneOf) > 0:
		if !slices.Contains(k.OneOf, s) {
			return nil, k.refuse(s)
		}
	case s == "" && !k.Required:
		return s, nil
	case s == "" && k.check == nil:
		return nil, errors.New("must not be empty")
	case k.check != nil:
		if err := k.check(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// list checks a list and its items.
func (k Key) list(items []string) (any, error) {
	if len(items) == 0 && k.Required {
		return nil, errors.New("must not be empty; allowed is " + k.Allowed())
	}
	var wrong []string // all mistakes in one go, here too
	for i, item := range items {
		if item == "" {
			wrong = append(wrong, fmt.Sprintf("item %d is empty", i+1))
		} else if k.check != nil {
			if err := k.check(item); err != nil {
				wrong = append(wrong, err.Error())
			}
		}
	}
	if len(wrong) > 0 {
		return nil, errors.New(strings.Join(wrong, "; "))
	}
	return items, nil
}

func (k Key) within(n int64) bool { return n >= k.Min && (k.Max == 0 || n <= k.Max) }

func (k Key) refuse(text string) error {
	return fmt.Errorf("%s is not allowed; allowed is %s", k.show(text), k.Allowed())
}

// show quotes a value for an error message, short, and never a secret.
func (k Key) show(text string) string {
	if k.Secret {
		return "the value"
	}
	return quote(text)
}

// quote makes text of a user fit for one line of a message.
func quote(text string) string {
	const most = 80
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return strconv.Quote(text)
}

// splitList reads `a, b` or, where the text begins with [, a JSON array.
func splitList(text string) ([]string, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return []string{}, nil
	}
	if strings.HasPrefix(text, "[") {
		return parseJSONList(text)
	}
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items, nil
}

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"Ti", 1 << 40}, {"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10}}

func parseSize(text string) (int64, error) {
	unit := int64(1)
	for _, u := range sizeUnits {
		if number, ok := strings.CutSuffix(text, u.suffix); ok {
			text, unit = number, u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, err
	}
	if n > math.MaxInt64/unit || n < math.MinInt64/unit {
		return 0, strconv.ErrRange
	}
	return n * unit, nil
}

// formatSize writes bytes so that parseSize reads the same number.
func formatSize(n int64) string {
	for _, u := range sizeUnits {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

// formatDuration writes a duration as people do: 168h, not 168h0m0s.
func formatDuration(n int64) string {
	text := time.Duration(n).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	if n == 0 {
		return "0"
	}
	return text
}

package route

import (
	"errors"
	"strings"
)

type Stop struct {
	Name    string
	Minutes int
}

type Line struct {
	Stops []Stop
}

func (l *Line) Duration() int {
	var sum int
	sum = 0
	for i := 0; i < len(l.Stops); i++ {
		sum = sum + l.Stops[i].Minutes
	}
	return sum
}

func Find(stops []Stop, name string) (Stop, error) {
	for _, stop := range stops {
		if strings.ToLower(stop.Name) == strings.ToLower(name) {
			return stop, nil
		}
	}
	return Stop{}, errors.New("no such stop: " + name)
}

func Longest(stops []Stop) int {
	best := -1
	for i, stop := range stops {
		if best == -1 || stop.Minutes > stops[best].Minutes {
			best = i
		}
	}
	return best
}

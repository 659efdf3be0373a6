"""Small SVG plots. No background, and colours that read on light and on dark pages alike."""

from math import ceil, floor, log10

COLOURS = {"bare relay": "#8a8a8a", "msgstream": "#2f81f7", "Redis": "#d1453b", "NATS": "#2da44e", "Mosquitto": "#b8860b"}
TEXT = "#808080"
GRID = "#80808040"
WIDTH, LEFT, RIGHT, TOP = 720, 66, 100, 34


def text(x, y, content, anchor="start", colour=TEXT, size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{content}</text>'


def line(x1, y1, x2, y2):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{GRID}"/>'


def svg(height, parts):
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            'font-family="system-ui, sans-serif">')
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def tick(value):
    """A power of ten as people write it: 0.01, 1, 1k, 1M."""
    for unit, scale in (("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{value / scale:g}{unit}"
    return f"{value:g}"


def decades(values):
    return floor(log10(min(values)) + 1e-9), max(ceil(log10(max(values)) - 1e-9), floor(log10(min(values)) + 1e-9) + 1)


def lines(title, x_label, y_label, series):
    """Curves over two logarithmic axes: a flat curve is a cost that does not grow."""
    height, bottom = 380, 330
    x_low, x_high = decades([x for points in series.values() for x, _ in points])
    y_low, y_high = decades([y for points in series.values() for _, y in points])

    def at_x(x):
        return LEFT + (log10(x) - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def at_y(y):
        return bottom - (log10(y) - y_low) / (y_high - y_low) * (bottom - TOP)

    parts = [text(LEFT, 18, title, size=14)]
    for power in range(x_low, x_high + 1):
        parts += [line(at_x(10**power), TOP, at_x(10**power), bottom), text(at_x(10**power), bottom + 18, tick(10**power), "middle")]
    for power in range(y_low, y_high + 1):
        parts += [line(LEFT, at_y(10**power), WIDTH - RIGHT, at_y(10**power)), text(LEFT - 8, at_y(10**power) + 4, tick(10**power), "end")]
    parts += [text((LEFT + WIDTH - RIGHT) / 2, bottom + 40, x_label, "middle"),
              f'<g transform="rotate(-90 16 {(TOP + bottom) / 2})">{text(16, (TOP + bottom) / 2, y_label, "middle")}</g>']
    ends = []
    for name, points in sorted(series.items(), key=lambda item: -item[1][-1][1]):
        colour = COLOURS[name]
        path = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="2.5" fill="{colour}"/>' for x, y in points]
        # Names of curves that end close together are moved apart.
        y = max(at_y(points[-1][1]) + 4, ends[-1] + 14 if ends else 0)
        ends.append(y)
        parts.append(text(at_x(points[-1][0]) + 8, y, name, colour=colour))
    return svg(height, parts)


def bars(title, groups):
    """Groups of bars over one logarithmic axis, with the figures beside them."""
    left, thick, gap = 190, 13, 12
    low, high = decades([value for values in groups.values() for value in values.values()])

    def length(value):
        return (log10(value) - low) / (high - low) * (WIDTH - left - 60)

    parts, y = [text(10, 18, title, size=14)], TOP
    for group, values in groups.items():
        parts.append(text(left - 10, y + len(values) * thick / 2 + 4, group, "end"))
        for name, value in values.items():
            parts.append(f'<rect x="{left}" y="{y}" width="{max(length(value), 1):.1f}" height="{thick - 2}" fill="{COLOURS[name]}"/>')
            parts.append(text(left + length(value) + 5, y + thick - 3, f"{value:.3g}", size=10))
            y += thick
        y += gap
    x = left
    for name, colour in COLOURS.items():
        parts += [f'<rect x="{x}" y="{y}" width="10" height="10" fill="{colour}"/>', text(x + 14, y + 9, name)]
        x += 100
    return svg(y + 24, parts)

/* SPDX-License-Identifier: ISC */
/*
 * process_image: work for a processor, and so for a category of its own.
 * Blurs a grey picture and describes it.
 *
 *	params	{"image": "P2 2 2 255 0 64 128 255", "radius": 1}
 *	    or	{"width": 640, "height": 480, "radius": 4}
 *	data	{"width": 2, "height": 2, "mean": 111.75,
 *		 "histogram": [16 counts], "checksum": "9a1c..."}
 *
 * image is a plain PGM (P2) with grey values up to 255; without one, a test
 * picture of the given size is drawn. radius (0 to 64, default 1) is that of
 * the box blur; mean and histogram are of the picture as it came, the
 * checksum (FNV-1a, 64 bits) is of the blurred one.
 */
#include <avtoworker/handler.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE_MAX   8192
#define PIXELS_MAX (16 * 1024 * 1024)
#define RADIUS_MAX 64
#define BINS       16

struct image {
	int64_t width;
	int64_t height;
	unsigned char *grey; /* row by row */
};

/* The next number of a plain PGM, behind white space and # comments. */
static int
next_number(const char **text, long max, long *value)
{
	const char *p = *text;
	char *end;

	for (;;) {
		p += strspn(p, " \t\r\n");
		if (*p != '#')
			break;
		p += strcspn(p, "\r\n");
	}
	if (*p < '0' || *p > '9')
		return (-1);
	errno = 0;
	*value = strtol(p, &end, 10);
	if (errno != 0 || *value > max)
		return (-1);
	*text = end;
	return (0);
}

/* Sets the task's result when it fails. */
static int
image_alloc(struct image *image, struct aw_task *task)
{
	if (image->width < 1 || image->width > SIDE_MAX || image->height < 1 ||
	    image->height > SIDE_MAX ||
	    image->width * image->height > PIXELS_MAX) {
		aw_invalid_input(task,
		    "a picture of %" PRId64 " x %" PRId64
		    " cannot be taken: at most %d on a side and %d pixels",
		    image->width, image->height, SIDE_MAX, PIXELS_MAX);
		return (-1);
	}
	image->grey = malloc((size_t)(image->width * image->height));
	if (image->grey == NULL) {
		aw_retry(task, "RESOURCE_EXHAUSTED_ERROR", "out of memory");
		return (-1);
	}
	return (0);
}

static int
image_parse(struct image *image, const char *text, struct aw_task *task)
{
	long width, height, max, value;
	int64_t i;

	if (strncmp(text, "P2", 2) != 0) {
		aw_invalid_input(task, "\"image\" is no plain PGM (P2)");
		return (-1);
	}
	text += 2;
	if (next_number(&text, LONG_MAX, &width) == -1 ||
	    next_number(&text, LONG_MAX, &height) == -1 ||
	    next_number(&text, 255, &max) == -1 || max == 0) {
		aw_invalid_input(task, "\"image\" has a malformed header");
		return (-1);
	}
	image->width = width;
	image->height = height;
	if (image_alloc(image, task) == -1)
		return (-1);
	for (i = 0; i < image->width * image->height; i++) {
		if (next_number(&text, max, &value) == -1) {
			aw_invalid_input(task,
			    "pixel %" PRId64 " of \"image\" "
			    "is missing or above %ld",
			    i + 1, max);
			return (-1);
		}
		image->grey[i] = (unsigned char)(value * 255 / max);
	}
	return (0);
}

/* Rings around the centre. */
static int
image_draw(struct image *image, struct aw_task *task)
{
	int64_t x, y, dx, dy;

	if (aw_get_int64(task, "width", &image->width) != AW_GOT ||
	    aw_get_int64(task, "height", &image->height) != AW_GOT) {
		aw_invalid_input(task,
		    "either \"image\", a string, or "
		    "\"width\" and \"height\", integers, are needed");
		return (-1);
	}
	if (image_alloc(image, task) == -1)
		return (-1);
	for (y = 0; y < image->height; y++)
		for (x = 0; x < image->width; x++) {
			dx = x - image->width / 2;
			dy = y - image->height / 2;
			image->grey[y * image->width + x] =
			    (unsigned char)((dx * dx + dy * dy) >> 4);
		}
	return (0);
}

/* One line of count pixels, step apart, into out: a sliding mean. */
static void
blur_line(const unsigned char *in, unsigned char *out, int64_t count,
    int64_t step, int64_t radius)
{
	int64_t i, sum = 0, n = 0;

	for (i = 0; i < radius && i < count; i++, n++)
		sum += in[i * step];
	for (i = 0; i < count; i++) {
		if (i + radius < count) {
			sum += in[(i + radius) * step];
			n++;
		}
		if (i > radius) {
			sum -= in[(i - radius - 1) * step];
			n--;
		}
		out[i * step] = (unsigned char)(sum / n);
	}
}

/* Rows into scratch, then columns back. */
static void
blur(struct image *image, unsigned char *scratch, int64_t radius)
{
	int64_t i;

	for (i = 0; i < image->height; i++)
		blur_line(image->grey + i * image->width,
		    scratch + i * image->width, image->width, 1, radius);
	for (i = 0; i < image->width; i++)
		blur_line(scratch + i, image->grey + i, image->height,
		    image->width, radius);
}

static void
write_statistics(const struct image *image, struct aw_json *data)
{
	const int64_t pixels = image->width * image->height;
	int64_t bins[BINS] = { 0 };
	int64_t i, sum = 0;

	for (i = 0; i < pixels; i++) {
		bins[image->grey[i] * BINS / 256]++;
		sum += image->grey[i];
	}
	aw_json_int64(data, "width", image->width);
	aw_json_int64(data, "height", image->height);
	aw_json_double(data, "mean", (double)sum / (double)pixels);
	aw_json_array(data, "histogram");
	for (i = 0; i < BINS; i++)
		aw_json_int64(data, NULL, bins[i]);
	aw_json_end(data);
}

static void
write_checksum(const struct image *image, struct aw_json *data)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	char text[17];
	int64_t i;

	for (i = 0; i < image->width * image->height; i++)
		sum = (sum ^ image->grey[i]) * UINT64_C(0x100000001b3);
	(void)snprintf(text, sizeof(text), "%016" PRIx64, sum);
	aw_json_string(data, "checksum", text);
}

static int
get_radius(struct aw_task *task, int64_t *radius)
{
	*radius = 1;
	if (aw_get_int64(task, "radius", radius) == AW_WRONG_TYPE ||
	    *radius < 0 || *radius > RADIUS_MAX) {
		aw_invalid_input(task,
		    "\"radius\" must be an integer from 0 "
		    "to %d",
		    RADIUS_MAX);
		return (-1);
	}
	return (0);
}

static void
run(struct aw_task *task, void *state)
{
	struct image image = { 0 };
	unsigned char *scratch = NULL;
	const char *text;
	int64_t radius;
	enum aw_got got;

	(void)state;
	got = aw_get_string(task, "image", &text, NULL);
	if (got == AW_WRONG_TYPE) {
		aw_invalid_input(task, "\"image\" has the wrong type");
		return;
	}
	if (get_radius(task, &radius) == -1 ||
	    (got == AW_GOT ? image_parse(&image, text, task) :
			     image_draw(&image, task)) == -1)
		goto out;
	if ((scratch = malloc((size_t)(image.width * image.height))) == NULL) {
		aw_retry(task, "RESOURCE_EXHAUSTED_ERROR", "out of memory");
		goto out;
	}
	write_statistics(&image, aw_data(task));
	blur(&image, scratch, radius);
	write_checksum(&image, aw_data(task));
	aw_success_data(task);
out:
	free(scratch);
	free(image.grey);
}

static const struct aw_handler process_image = {
	.size = sizeof(struct aw_handler),
	.type = "process_image",
	.category = "heavy",
	.run = run,
};

AW_MODULE(&process_image);

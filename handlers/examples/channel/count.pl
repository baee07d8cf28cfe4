#!/usr/bin/env perl
# SPDX-License-Identifier: ISC
# A channel program that hears what it is told while a task runs, in a language
# that has no module for it: Perl as it comes with Debian. Type "count" counts
# to params.to, a number each params.ms milliseconds, tells how far it is, and
# says how far it came when it is asked to end. docs/channel.md goes through it.
use strict;
use warnings;
use Fcntl qw(F_SETFD FD_CLOEXEC);
use JSON::PP;

use constant { TASK => 1, CANCEL => 2, STOP => 3 };
use constant { READY => 16, STARTED => 17, RESULT => 18, LOG => 19,
    PROGRESS => 20 };
use constant HEADER => 16;

my $json = JSON::PP->new->utf8;
my $is_last;    # a stop has come while a task was at work
open(my $channel, '+<&=', 3) or die "descriptor 3: $!\n";
binmode($channel);
fcntl($channel, F_SETFD, FD_CLOEXEC) or die "descriptor 3: $!\n";
$SIG{TERM} = $SIG{INT} = sub { };

sub say_frame {
	my ($type, $lease, $value) = @_;
	my $payload = $json->encode($value);
	my $data = pack('V v v Q<', length $payload, $type, 0, $lease) . $payload;
	while (length $data) {
		my $n = syswrite($channel, $data);
		next if !defined $n && $!{EINTR};
		exit if !defined $n;    # the supervisor is gone
		substr($data, 0, $n, '');
	}
}

sub read_bytes {
	my ($size) = @_;
	my $data = '';
	while (length $data < $size) {
		my $n = sysread($channel, $data, $size - length $data, length $data);
		next if !defined $n && $!{EINTR};
		exit if !$n;
	}
	return $data;
}

sub hear_frame {
	my ($length, $type, $flags, $lease) =
	    unpack('V v v Q<', read_bytes(HEADER));
	return ($type, $lease, $json->decode(read_bytes($length)));
}

# Waits that long for a frame. A cancel of this lease says why.
sub asked_to_end {
	my ($lease, $ms) = @_;
	my $bits = '';
	vec($bits, fileno($channel), 1) = 1;
	return if select($bits, undef, undef, $ms / 1000) < 1;
	my ($type, $whose, $value) = hear_frame();
	$is_last = 1 if $type == STOP;
	return $type == CANCEL && $whose == $lease ? $value->{reason} : undef;
}

sub count {
	my ($lease, $to, $ms) = @_;
	for my $n (1 .. $to) {
		say_frame(PROGRESS, $lease, { progress => $n / $to });
		my $why = asked_to_end($lease, $ms) or next;
		say_frame(LOG, $lease, { level => 'warning',
		    message => "asked to end at $n: $why" });
		return $n;
	}
	return $to;
}

say_frame(READY, 0, { version => 1, handlers => [ { type => 'count' } ] });
while (!$is_last) {
	my ($type, $lease, $task) = hear_frame();
	last if $type == STOP;
	next if $type != TASK;    # a cancel of what is answered already
	say_frame(STARTED, $lease, {});
	my ($to, $ms) = @{ $task->{params} }{ 'to', 'ms' };
	if (!defined $to || $to !~ /^[1-9]\d{0,5}$/) {
		say_frame(RESULT, $lease, { status => 'failure', error => {
		    code => 'INVALID_INPUT_ERROR',
		    message => '"to" is not a number from 1 to 999999' } });
		next;
	}
	my $n = count($lease, $to, $ms // 0);
	say_frame(RESULT, $lease, { status => 'success',
	    data => { counted => $n } });
}

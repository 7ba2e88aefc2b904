#!/bin/sh
# The whole flow against a running system, as a client sees it: demo.sh [PHOTO]. The thumbnail stays in the working
# directory. PIXBUS_URL says where the system is, by default http://127.0.0.1:8080 or what PIXBUS_LISTEN says.
set -eu

base=${PIXBUS_URL:-http://${PIXBUS_LISTEN:-127.0.0.1:8080}}
api=$base/api/v0
thumbnail=thumbnail.jpg
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
number=0

if [ -t 1 ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m'); else bold='' dim='' plain=''; fi

step() {
    number=$((number + 1))
    printf '\n%s%2d  %s%s\n' "$bold" "$number" "$*" "$plain"
}
note() { printf '    %s\n' "$*"; }
die() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

# call STATUS METHOD PATH [BODY]: the answer's body in $work/answer, shown; another status ends the demo.
call() {
    wanted=$1 method=$2 path=$3
    set -- ${4+--data-binary "$4"} # the body, if there is one
    printf '    %s%s %s%s%s\n' "$dim" "$method" "/api/v0$path" "${1+  $2}" "$plain"
    [ $# = 0 ] || set -- "$@" -H 'Content-Type: application/json'
    [ -z "${token-}" ] || set -- "$@" -H "Authorization: Bearer $token"
    status=$(curl -sS -m 20 -o "$work/answer" -w '%{http_code}' -X "$method" "$@" "$api$path") ||
        die "$base does not answer; is it running? (./dev run)"
    note "$status $(jq -c 'walk(if type == "string" and length > 100 then .[:80] + "…" else . end)' "$work/answer" 2>/dev/null || head -c 300 "$work/answer")"
    [ "$status" = "$wanted" ] || die "expected the status $wanted"
}
answer() { jq -er "$1" "$work/answer" || die "the answer has no $1"; }

photo=${1-}
if [ -n "$photo" ]; then
    [ -r "$photo" ] || die "cannot read $photo"
else
    photo=$work/photo.jpg # a hue circle, 12 megapixels
    vips xyz "$work/xyz.v" 4000 3000
    vips extract_band "$work/xyz.v" "$work/x.v" 0
    vips extract_band "$work/xyz.v" "$work/y.v" 1
    vips linear "$work/x.v" "$work/red.v" 0.0637 0
    vips linear "$work/y.v" "$work/green.v" 0.085 0
    vips linear "$work/x.v" "$work/blue.v" -- -0.0637 255
    vips bandjoin "$work/red.v $work/green.v $work/blue.v" "$work/rgb.v"
    vips cast "$work/rgb.v" "$work/photo.v" uchar
    vips copy "$work/photo.v" "${photo}[Q=85]"
    rm -f "$work"/*.v
fi

step "Is it there?"
curl -sS -m 10 -o "$work/answer" -f "$base/readyz" || die "$base is not ready; start it with ./dev run"
note "$base is ready"

email=demo-$(date +%s)-$$@example.org
password=$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')
account=$(jq -cn --arg email "$email" --arg password "$password" '{$email, $password}')
step "Register"
call 201 POST /users/auth "$account"
step "Log in"
call 200 POST /users/auth/login "$account"
token=$(answer .token)

step "Post an item"
call 201 POST /feed '{"caption":"Hello from the demo"}'
id=$(answer .id)
upload=$(answer .url)

step "Upload the photo to the presigned URL ($(wc -c <"$photo") bytes)"
began=$(date +%s%N)
status=$(curl -sS -m 120 -o "$work/put" -w '%{http_code}' -T "$photo" "$upload") || die 'the store does not answer'
note "$status"
[ "$status" = 200 ] || die "the store refused it: $(cat "$work/put")"

step "Wait for the thumbnail"
state=pending
tries=0
while [ "$state" = pending ]; do
    tries=$((tries + 1))
    [ "$tries" -le 600 ] || die 'it is still pending after a minute'
    curl -sS -m 10 -f -o "$work/answer" -H "Authorization: Bearer $token" "$api/feed/$id" || die 'the item is gone'
    state=$(answer .state)
    [ "$state" != pending ] || sleep 0.1
done
note "$state after $((($(date +%s%N) - began) / 1000000)) ms, $(jq -r '"\(.width) x \(.height)"' "$work/answer")"
[ "$state" = ready ] || die "the photo was not accepted: $(jq -r '.reject_reason // "no reason given"' "$work/answer")"

step "Fetch the thumbnail"
call 200 GET "/feed/$id/thumbnail"
thumbnail_url=$(answer .url)
curl -sS -m 10 -f -o "$thumbnail" "$thumbnail_url" || die "it is not at $thumbnail_url"
note "written to $thumbnail ($(wc -c <"$thumbnail") bytes)"
[ "$(od -An -tx1 -N3 "$thumbnail" | tr -d ' ')" = ffd8ff ] || die 'it is no JPEG'

step "See it in the feed"
call 200 GET '/feed?limit=1'
[ "$(answer '.[0].id')" = "$id" ] || note '(somebody else has posted meanwhile)'

step "Edit the caption"
call 200 PATCH "/feed/$id" '{"caption":"Edited by the demo"}'
[ "$(answer .caption)" = 'Edited by the demo' ] || die 'the caption is not the new one'

step "Delete it"
call 200 DELETE "/feed/$id"
call 404 GET "/feed/$id"

step "The thumbnail goes too"
tries=0
while status=$(curl -sS -m 10 -o /dev/null -w '%{http_code}' "$thumbnail_url") && [ "$status" = 200 ]; do
    tries=$((tries + 1))
    [ "$tries" -le 300 ] || die 'it is still there after half a minute'
    sleep 0.1
done
note "$status"

printf '\ndemo ok\n'

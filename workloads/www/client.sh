# Usage: sh client.sh URL TIMES   Fetches the page so often, a second apart; says how many seconds each took.
for _ in $(seq "$2"); do
    curl --silent --show-error --fail --output /dev/null --write-out '%{time_total}\n' "$1" || exit
    sleep 1
done

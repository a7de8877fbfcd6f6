#include "callers.h"

#include <stdlib.h>

#define FIRST_ROOM 1024

static uint32_t hash(uint32_t terminal, uint32_t address, uint16_t port)
{
    uint64_t word = (uint64_t)terminal << 32 ^ (uint64_t)address << 16 ^ port;
    word = (word ^ word >> 29) * 0xbf58476d1ce4e5b9;
    return (uint32_t)(word >> 32);
}

static bool is_between(const struct connection *connection, uint32_t terminal, uint32_t address, uint16_t port)
{
    return connection->terminal == terminal && connection->peer_address == address && connection->peer_port == port;
}

struct connection *callers_find(const struct callers *callers, uint32_t terminal, uint32_t address, uint16_t port)
{
    uint32_t at = hash(terminal, address, port) & (callers->slots - 1);
    while (callers->connections[at].is_used && !is_between(&callers->connections[at], terminal, address, port))
        at = (at + 1) & (callers->slots - 1);
    return &callers->connections[at];
}

static bool make_connections(struct callers *callers)
{
    if (2 * (callers->used + 1) <= callers->slots)
        return true;
    struct connection *old = callers->connections;
    uint32_t old_slots = callers->slots, slots = old_slots == 0 ? FIRST_ROOM : 2 * old_slots;
    struct connection *larger = calloc(slots, sizeof *larger);
    if (larger == NULL)
        return false;
    callers->connections = larger;
    callers->slots = slots;
    for (uint32_t i = 0; i < old_slots; i++)
        if (old[i].is_used)
            *callers_find(callers, old[i].terminal, old[i].peer_address, old[i].peer_port) = old[i];
    free(old);
    return true;
}

static bool make_endings(struct callers *callers)
{
    if (callers->ending_count < callers->ending_room)
        return true;
    uint32_t room = callers->ending_room == 0 ? FIRST_ROOM : 2 * callers->ending_room;
    struct ending *larger = realloc(callers->endings, room * sizeof *larger);
    if (larger == NULL)
        return false;
    callers->endings = larger;
    callers->ending_room = room;
    return true;
}

bool callers_make_room(struct callers *callers)
{
    return make_connections(callers) && make_endings(callers);
}

void callers_forget(struct callers *callers, struct connection *connection)
{
    frame_reader_free(&connection->reader);
    free(connection->kept);
    uint32_t hole = (uint32_t)(connection - callers->connections);
    callers->connections[hole] = (struct connection){0};
    callers->used--;
    // Those behind move up, unless they would get in front of where they belong.
    for (uint32_t at = (hole + 1) & (callers->slots - 1); callers->connections[at].is_used;
         at = (at + 1) & (callers->slots - 1)) {
        struct connection *behind = &callers->connections[at];
        uint32_t home = hash(behind->terminal, behind->peer_address, behind->peer_port) & (callers->slots - 1);
        if (((at - home) & (callers->slots - 1)) < ((at - hole) & (callers->slots - 1)))
            continue;
        callers->connections[hole] = *behind;
        *behind = (struct connection){0};
        hole = at;
    }
}

void callers_note(struct callers *callers, const struct connection *connection)
{
    callers->used++;
    struct ending new = {connection->ends_ns, connection->terminal, connection->peer_address, connection->peer_port};
    uint32_t at = callers->ending_count++;
    while (at > 0 && callers->endings[(at - 1) / 2].at_ns > new.at_ns) {
        callers->endings[at] = callers->endings[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    callers->endings[at] = new;
}

struct ending callers_take_ending(struct callers *callers)
{
    struct ending first = callers->endings[0], last = callers->endings[--callers->ending_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= callers->ending_count)
            break;
        if (child + 1 < callers->ending_count && callers->endings[child + 1].at_ns < callers->endings[child].at_ns)
            child++;
        if (callers->endings[child].at_ns >= last.at_ns)
            break;
        callers->endings[at] = callers->endings[child];
        at = child;
    }
    if (callers->ending_count > 0)
        callers->endings[at] = last;
    return first;
}

void callers_free(struct callers *callers)
{
    for (uint32_t i = 0; i < callers->slots; i++) {
        frame_reader_free(&callers->connections[i].reader);
        free(callers->connections[i].kept);
    }
    free(callers->connections);
    free(callers->endings);
}

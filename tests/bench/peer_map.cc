// SPDX-License-Identifier: MIT
#include "tests/bench/peer_map.h"

#include <functional>
#include <list>
#include <map>
#include <unordered_map>
#include <vector>

namespace
{

struct peer_order {
    uint64_t id;
    uint32_t price, open, executed;
    uint16_t instrument;
    uint8_t side;
};

using queue = std::list<peer_order>;
using bids = std::map<uint32_t, queue, std::greater<uint32_t>>;
using asks = std::map<uint32_t, queue, std::less<uint32_t>>;

struct peer_instrument {
    bids buy;
    asks sell;
};

} // namespace

struct peer {
    std::vector<peer_instrument> instruments;
    std::unordered_map<uint64_t, queue::iterator> orders;
    std::vector<peer_trade> trades;

    template <class levels> void rest(levels &side, const peer_order &order)
    {
        queue &level = side[order.price];
        orders[order.id] = level.insert(level.end(), order);
    }

    template <class levels> void remove(levels &side, queue::iterator order)
    {
        auto level = side.find(order->price);
        level->second.erase(order);
        if (level->second.empty())
            side.erase(level);
    }

    template <class levels> void match(levels &opposite, peer_order &taker)
    {
        while (taker.open > 0 && !opposite.empty()) {
            auto level = opposite.begin();
            if (opposite.key_comp()(taker.price, level->first))
                return;
            peer_order &maker = level->second.front();
            uint32_t quantity = taker.open < maker.open ? taker.open : maker.open;
            trades.push_back({maker.id, taker.id, quantity, maker.price});
            taker.open -= quantity;
            taker.executed += quantity;
            maker.open -= quantity;
            maker.executed += quantity;
            if (maker.open > 0)
                continue;
            orders.erase(maker.id);
            level->second.pop_front();
            if (level->second.empty())
                opposite.erase(level);
        }
    }

    void enter(peer_order order)
    {
        peer_instrument &instrument = instruments[order.instrument];
        if (order.side == SIDE_BUY)
            match(instrument.sell, order);
        else
            match(instrument.buy, order);
        if (order.open == 0)
            return;
        if (order.side == SIDE_BUY)
            rest(instrument.buy, order);
        else
            rest(instrument.sell, order);
    }

    // Takes the order out and returns it; open is 0 when there is none.
    peer_order take(uint64_t id)
    {
        auto found = orders.find(id);
        if (found == orders.end())
            return {};
        peer_order order = *found->second;
        if (order.side == SIDE_BUY)
            remove(instruments[order.instrument].buy, found->second);
        else
            remove(instruments[order.instrument].sell, found->second);
        orders.erase(found);
        return order;
    }

    void replace(const struct command &command)
    {
        peer_order order = take(peer_id(command.session, command.order.orig_user_ref_num));
        if (order.open == 0 || command.order.quantity <= order.executed)
            return;
        order.id = peer_id(command.session, command.order.user_ref_num);
        order.price = command.order.price;
        order.open = command.order.quantity - order.executed;
        enter(order);
    }
};

struct peer *peer_open(const struct book_limits *limits)
{
    auto *opened = new peer;
    opened->instruments.resize(limits->instruments_max);
    opened->orders.reserve(limits->orders_max);
    return opened;
}

void peer_close(struct peer *peer)
{
    delete peer;
}

uint32_t peer_apply(struct peer *peer, const struct command *command,
                    const struct peer_trade **trades)
{
    peer->trades.clear();
    switch (command->type) {
    case COMMAND_ENTER:
        peer->enter({peer_id(command->session, command->order.user_ref_num), command->order.price,
                     command->order.quantity, 0, command->instrument, command->side});
        break;
    case COMMAND_REPLACE:
        peer->replace(*command);
        break;
    case COMMAND_CANCEL:
        peer->take(peer_id(command->session, command->order.user_ref_num));
        break;
    }
    *trades = peer->trades.data();
    return static_cast<uint32_t>(peer->trades.size());
}

uint32_t peer_best(const struct peer *peer, uint16_t instrument, enum side side)
{
    const peer_instrument &book = peer->instruments[instrument];
    if (side == SIDE_BUY)
        return book.buy.empty() ? 0 : book.buy.begin()->first;
    return book.sell.empty() ? 0 : book.sell.begin()->first;
}

uint32_t peer_levels(const struct peer *peer)
{
    size_t count = 0;
    for (const peer_instrument &book : peer->instruments)
        count += book.buy.size() + book.sell.size();
    return static_cast<uint32_t>(count);
}

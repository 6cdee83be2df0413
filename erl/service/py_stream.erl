%% SPDX-License-Identifier: Apache-2.0
%% @doc What Python iterators yield: as a list, or as messages.
%%
%% A stream is an object in Python from which some items are asked for at a
%% time; each such request takes its turn among those of others.  Where they go
%% to a process, two others work for it: one asks and sends, never further ahead
%% of the receiver than the window; the other watches the receiver, and ends the
%% iterator when that dies or cancels: first what runs of it, by the end of the
%% process that asks, then the generator, which is closed.
-module(py_stream).

-export([collect/2, start/3, cancel/1]).
-export([collect_here/3]).

-include("../port/py_wire.hrl").

%% Items asked for at once, at most.
-define(BATCH, 32).
%% Unread messages of a stream in its receiver's mailbox, about.
-define(WINDOW, 100).
%% What takes no longer is worth asking for more at once, in microseconds.
-define(QUICK_US, 500).
%% How long to wait for a receiver that is behind, in milliseconds.
-define(PAUSE_MS, 1).
-define(MAX_PAUSE_MS, 16).
%% The time that a generator has to close.
-define(CLOSE_MS, 5000).

-record(pull, {context, stream, timeout, errors, batch, window, ref, to, others = 0,
               next = 1, place, for}).

-type request() :: {ok, py_prepare:request()} | {error, term()}.

%% @doc All that the iterator yields, within the request's time limit.
-spec collect(py_place:place(), request()) -> {ok, [term()]} | {error, term()}.
collect({error, _} = Error, _) ->
    Error;
collect(_, {error, _} = Error) ->
    Error;
collect(Place, {ok, Request}) ->
    py_place:limited(Place, fun(At) -> collected(At, py_prepare:at(At, self(), Request)) end).

%% On the context's node, so that only the list goes from one to the other.
collected(At, {_, _, _, Timeout, _} = Request)
  when not is_pid(At); node(At) =/= node() ->
    py_remote:at(At, {?MODULE, collect_here, [Request]}, Timeout);
collected(At, {Opcode, Flags, Term, Timeout, Form}) ->
    Deadline = py_request:deadline(Timeout),
    Errors = not_captured(Form),
    case py_caller:run(At, Opcode, Flags bor ?FLAG_STREAM, Term, Deadline, Errors) of
        {ok, Stream} ->
            all(#pull{context = py_ref:context(Stream), stream = Stream, timeout = Deadline,
                      errors = Errors, batch = ?BATCH}, []);
        {error, _} = Error ->
            Error
    end.

%% @private For a caller on another node, with so much time left.
-spec collect_here(pid(), py_prepare:request(), timeout()) -> {ok, [term()]} | {error, term()}.
collect_here(Context, {Opcode, Flags, Term, _, Form}, Left) ->
    collected(Context, {Opcode, Flags, py_namespace:scoped_for(Context, Term), Left, Form}).

all(Pull, Batches) ->
    case next(?BATCH, Pull) of
        {ok, Items, more} ->
            all(Pull, [Items | Batches]);
        {ok, Items, done} ->
            ok = py_context:release(Pull#pull.stream),
            {ok, lists:append(lists:reverse([Items | Batches]))};
        {error, _, Reason} ->
            ok = close(Pull),
            {error, Reason}
    end.

%% There is no one result with which output could come.
not_captured({_, Max, Errors}) -> {stream, Max, Errors};
not_captured(Errors) -> {stream, default, Errors}.

%%% Asking

%% Some items and whether there are more; or some, and what went wrong then.
next(N, Pull) ->
    case method(<<"next">>, [N], Pull) of
        {ok, {Items, What}} when is_list(Items), What =:= more orelse What =:= done ->
            {ok, Items, What};
        {ok, _} ->
            {error, [], {protocol, <<"no items in the answer">>}};
        {error, Reason} ->
            one_by_one(method(<<"count">>, [], Pull), Reason, Pull)
    end.

%% Items that have no term together, or too large a one, may have one each.
one_by_one({ok, Count}, Reason, Pull) when is_integer(Count), Count > 0 ->
    one_by_one(0, Count, Reason, Pull, []);
one_by_one(_, Reason, _) ->
    {error, [], Reason}.

one_by_one(Count, Count, _, _, Items) ->
    {ok, lists:reverse(Items), more};
one_by_one(I, Count, _, Pull, Items) ->
    case method(<<"item">>, [I], Pull) of
        {ok, Item} -> one_by_one(I + 1, Count, none, Pull, [Item | Items]);
        {error, Reason} -> {error, lists:reverse(Items), Reason}
    end.

method(Name, Args, #pull{context = Context, stream = Stream} = Pull) ->
    How = {Pull#pull.timeout, Pull#pull.errors, ?FLAG_ASYNC},
    py_caller:on_ref(Context, Stream, ?FRAME_METHOD, fun(Id) -> {Id, Name, Args, #{}} end, How).

%% Run the finally blocks; they may have run.
close(#pull{stream = Stream} = Pull) ->
    _ = method(<<"close">>, [], Pull#pull{timeout = ?CLOSE_MS}),
    ok = py_context:release(Stream).

%%% To a process

%% @doc Send what the iterator yields to a process.  Options: `owner' (that
%% process; the caller), `window', `batch'.
-spec start(py_place:place(), request(), map()) ->
    {ok, reference()} | {error, term()}.
start({error, _} = Error, _, _) ->
    Error;
start(_, {error, _} = Error, _) ->
    Error;
start(Place, {ok, {_, _, _, Timeout, Form} = Given}, Options) ->
    Errors = not_captured(Form),
    Request = setelement(5, Given, Errors),
    Fresh = #pull{to = self(), window = ?WINDOW, batch = ?BATCH, place = Place,
                  for = self()},
    case options(maps:to_list(Options), Fresh) of
        {ok, Pull} ->
            Ref = make_ref(),
            ok = watched(Pull#pull{timeout = Timeout, errors = Errors, ref = Ref}, Request),
            {ok, Ref};
        {error, _} = Error ->
            Error
    end.

options([], Pull) ->
    {ok, Pull};
options([{owner, Pid} | Rest], Pull) when is_pid(Pid), node(Pid) =:= node() ->
    options(Rest, Pull#pull{to = Pid});
options([{window, N} | Rest], Pull) when is_integer(N), N > 0 ->
    options(Rest, Pull#pull{window = N});
options([{batch, N} | Rest], Pull) when is_integer(N), N > 0 ->
    options(Rest, Pull#pull{batch = N});
options([{Key, Value} | _], _) ->
    {error, {invalid, Key, Value}}.

%% It can be cancelled as soon as this has returned.
watched(Pull, Request) ->
    Starter = self(),
    Span = py_events:span(),
    {Watcher, Mon} = spawn_monitor(fun() ->
                                           _ = py_events:within(Span),
                                           watch(Starter, Pull, Request)
                                   end),
    receive
        {Watcher, watching} ->
            true = erlang:demonitor(Mon, [flush]),
            ok;
        {'DOWN', Mon, process, _, _} ->
            ok
    end.

watch(Starter, #pull{to = To, ref = Ref} = Pull, Request) ->
    Receiver = erlang:monitor(process, To),
    ok = py_workers:put(Ref, To),
    Starter ! {self(), watching},
    Self = self(),
    Span = py_events:span(),
    {Puller, Mon} = spawn_monitor(fun() ->
                                          _ = py_events:within(Span),
                                          open(Self, Pull, Request)
                                  end),
    Asked = watch_until_end(Receiver, Puller, Mon, none),
    ok = py_workers:remove(Ref),
    answer(Asked, Pull).

%% Whoever cancels is told when it is over.
watch_until_end(Receiver, Puller, Mon, Pull) ->
    receive
        {Puller, Opened} ->
            watch_until_end(Receiver, Puller, Mon, Opened);
        {'DOWN', Mon, process, _, normal} ->
            ok = end_of(Pull),
            none;
        {'DOWN', Mon, process, _, Reason} ->
            ok = end_of(Pull),
            {killed, Reason};
        {'DOWN', Receiver, process, _, _} ->
            ok = stop(Puller, Mon, Pull),
            none;
        {cancel, From} ->
            ok = stop(Puller, Mon, Pull),
            From
    end.

stop(Puller, Mon, Pull) ->
    exit(Puller, kill),
    receive
        {'DOWN', Mon, process, _, _} -> ok
    end,
    receive
        {Puller, Opened} -> end_of(Opened)
    after 0 -> end_of(Pull)
    end.

end_of(none) -> ok;
end_of(#pull{} = Pull) -> close(Pull).

%% It was not the one who asks that said how it ended.
answer({killed, _} = Why, #pull{to = To, ref = Ref}) ->
    _ = To ! {py_stream, Ref, {error, Why}},
    ok;
answer({Pid, Tag}, _) ->
    _ = Pid ! {Tag, cancelled},
    ok;
answer(none, _) ->
    ok.

%% @doc End a stream: its generator is closed, and when this returns nothing
%% more comes; what has come and was not read is removed, if the caller is the
%% receiver.
-spec cancel(reference()) -> ok.
cancel(Ref) when is_reference(Ref) ->
    case py_workers:find(Ref) of
        {Watcher, _} ->
            Mon = erlang:monitor(process, Watcher),
            Watcher ! {cancel, {self(), Mon}},
            receive
                {Mon, cancelled} -> true = erlang:demonitor(Mon, [flush]);
                {'DOWN', Mon, process, _, _} -> true
            end;
        none ->
            true
    end,
    forget(Ref).

forget(Ref) ->
    receive
        {py_stream, Ref, _} -> forget(Ref)
    after 0 -> ok
    end.

%%% The process that asks and sends

open(Watcher, #pull{place = Place, for = For, to = To, ref = Ref} = Pull, Request) ->
    Run = fun(At) -> opened(Watcher, Pull, At, py_prepare:at(At, For, Request)) end,
    case py_place:limited(Place, Run) of
        ok -> ok;
        {error, _} = Error -> _ = To ! {py_stream, Ref, Error}, ok
    end.

opened(Watcher, Pull, At, {Opcode, Flags, Term, Timeout, Errors}) ->
    case py_caller:run(At, Opcode, Flags bor ?FLAG_STREAM, Term, Timeout, Errors) of
        {ok, Stream} ->
            Opened = Pull#pull{context = py_ref:context(Stream), stream = Stream},
            Watcher ! {self(), Opened},
            _ = pull(Opened),
            ok;
        {error, _} = Error ->
            Error
    end.

pull(#pull{next = N, to = To, ref = Ref} = Waiting) ->
    Pull = wait_for_room(Waiting, ?PAUSE_MS),
    Before = erlang:monotonic_time(microsecond),
    case next(N, Pull) of
        {ok, Items, more} ->
            ok = send(Items, Pull),
            Took = erlang:monotonic_time(microsecond) - Before,
            pull(Pull#pull{next = how_many(N, Took, Pull)});
        {ok, Items, done} ->
            ok = send(Items, Pull),
            To ! {py_stream, Ref, done};
        {error, Items, Reason} ->
            ok = send(Items, Pull),
            To ! {py_stream, Ref, {error, Reason}}
    end.

send(Items, #pull{to = To, ref = Ref}) ->
    lists:foreach(fun(Item) -> To ! {py_stream, Ref, {data, Item}} end, Items).

how_many(N, Took, #pull{batch = Batch, window = Window}) when Took < ?QUICK_US ->
    min(2 * N, min(Batch, Window));
how_many(_, _, _) ->
    1.

%% The receiver's mailbox tells how far it is behind.  What others have sent it
%% is not counted, but that is dear to find out, so it is remembered.
wait_for_room(#pull{to = To, window = Window, others = Others} = Pull, Pause) ->
    case process_info(To, message_queue_len) of
        {_, Length} when Length - Others < Window -> Pull;
        undefined -> Pull;
        {_, _} -> count(Pull, Pause)
    end.

count(#pull{to = To, ref = Ref, window = Window} = Pull, Pause) ->
    {Ours, Others} = case process_info(To, messages) of
                         {_, Messages} -> count(Messages, Ref, 0, 0);
                         undefined -> {0, 0}
                     end,
    Counted = Pull#pull{others = Others},
    case Ours < Window of
        true ->
            Counted;
        false ->
            receive after Pause -> ok end,
            wait_for_room(Counted, min(2 * Pause, ?MAX_PAUSE_MS))
    end.

count([], _, Ours, Others) -> {Ours, Others};
count([{py_stream, Ref, _} | Rest], Ref, Ours, Others) -> count(Rest, Ref, Ours + 1, Others);
count([_ | Rest], Ref, Ours, Others) -> count(Rest, Ref, Ours, Others + 1).

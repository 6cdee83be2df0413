%% SPDX-License-Identifier: Apache-2.0
%% @doc Calls whose answer comes later, as one message.
%%
%% Each has a process of its own, which makes the request, runs the Erlang
%% functions that Python calls meanwhile, and sends `{Tag, Ref, Result}' to the
%% alias that `Ref' is.  A call begins in the order in which its caller made it:
%% whoever casts waits until the request has been submitted, which takes no
%% longer than that unless the context has more than it can take.
%%
%% Nothing of a call outlasts it but that message.  Who awaits in vain takes the
%% alias back, so that nothing comes later, and ends the process, which ends the
%% Python code.
-module(py_cast).

-export([start/3, form/3, coroutine/1, await/3, cancel/1]).

-export_type([options/0]).

-include("../../port/py_wire.hrl").

%% In the process of a call: whoever casts has been told.
-define(BEGUN, '$py_begun').

-type options() :: #{tag := atom(), reply := boolean()}.
%% The first element of the message, and whether there is one.

%% @doc Begin a request, or tell of the error that it is.
-spec start(py_place:place(), {ok, py_prepare:request()} | {error, term()},
            options()) -> reference().
start({error, _} = Error, _, Options) ->
    failed(Error, Options);
start(_, {error, _} = Error, Options) ->
    failed(Error, Options);
start(Place, {ok, Request}, Options) ->
    Ref = address(Options),
    Pid = spawn(fun begin_when_told/0),
    Mon = erlang:monitor(process, Pid, [{alias, demonitor}]),
    Pid ! {cast, Mon, self(), Ref, Place, Request, Options, py_events:span()},
    receive
        {Mon, begun} -> ok;
        {'DOWN', Mon, process, _, _} -> ok
    end,
    _ = erlang:demonitor(Mon, [flush]),
    Ref.

%% @doc Begin the call that was written so, with the option `reply'; `Flags' as for
%% `py_forms:prepare/2'.  What is wrong with it comes as its answer.
-spec form([term()], byte(), atom()) -> reference().
form(Parts, Flags, Tag) ->
    Answered = #{tag => Tag, reply => true},
    case py_forms:parse(Parts) of
        {ok, Form} ->
            case py_forms:take(reply, Form, true) of
                {Reply, Rest} when is_boolean(Reply) ->
                    {Place, Request} = py_forms:prepare(Rest, Flags),
                    start(Place, Request, Answered#{reply := Reply});
                {Reply, _} ->
                    failed({error, {invalid, reply, Reply}}, Answered)
            end;
        {error, _} = Error ->
            failed(Error, Answered)
    end.

%% @doc Begin a coroutine on the event loop of its context.
-spec coroutine(py_forms:form()) -> reference().
coroutine(Form) ->
    {Place, Request} = py_forms:prepare(Form, ?FLAG_ASYNC),
    start(Place, Request, #{tag => async_result, reply => true}).

address(#{reply := true}) -> erlang:alias([reply]);
address(#{reply := false}) -> make_ref().

failed(Error, Options) ->
    Ref = address(Options),
    ok = tell(Ref, Error, Options),
    Ref.

tell(Ref, Result, #{reply := true, tag := Tag}) ->
    _ = Ref ! {Tag, Ref, Result},
    ok;
tell(_, _, #{reply := false}) ->
    ok.

%%% The process of a call

begin_when_told() ->
    receive
        {cast, Mon, Caller, Ref, Place, Request, Options, Span} ->
            _ = py_events:within(Span),
            run(Mon, Caller, Ref, Place, Request, Options)
    end.

run(Mon, Caller, Ref, Place, Request, Options) ->
    Owner = case Options of
                #{reply := true} -> erlang:monitor(process, Caller);
                #{reply := false} -> make_ref()
            end,
    %% Once: the caller does not wait for a second time.
    Begun = fun() ->
                    ok = py_workers:put(Ref, Caller),
                    put(?BEGUN, true) =:= true orelse (Mon ! {Mon, begun})
            end,
    Deadline = py_request:deadline(element(4, Request)),
    Run = fun(At) ->
                  py_caller:run_apart(At, py_prepare:at(At, Caller, Request), Deadline, Begun,
                                      Owner)
          end,
    try py_place:limited(Place, Run) of
        Result -> answered(Ref, Result, Options)
    catch
        throw:owner_died -> ok
    end,
    py_workers:remove(Ref).

%% Before the message, so that whoever has that finds it.
answered(Ref, {error, _} = Error, #{reply := true} = Options) ->
    ok = py_stories:put(Ref, py_answer:take_last()),
    tell(Ref, Error, Options);
answered(Ref, Result, Options) ->
    tell(Ref, Result, Options).

%%% Waiting

%% @doc Wait for the message of a call; `timeout' ends the call.
-spec await(reference(), timeout(), atom()) -> {ok, term()} | {error, term()}.
await(Ref, Timeout, Tag) when is_reference(Ref) ->
    case py_prepare:is_timeout(Timeout) of
        true -> await_it(Ref, Timeout, Tag);
        false -> {error, {invalid, timeout, Timeout}}
    end;
await(Other, _, _) ->
    {error, {invalid, ref, Other}}.

await_it(Ref, Timeout, Tag) ->
    receive
        {Tag, Ref, Result} -> told(Ref, Result)
    after 0 ->
        case py_workers:find(Ref) of
            {Pid, Owner} when Owner =:= self() -> wait(Ref, Pid, Timeout, Tag);
            {_, _} -> {error, {invalid, ref, Ref}};
            none -> last_look(Ref, Tag)
        end
    end.

wait(Ref, Pid, Timeout, Tag) ->
    Mon = erlang:monitor(process, Pid),
    receive
        {Tag, Ref, Result} ->
            _ = erlang:demonitor(Mon, [flush]),
            told(Ref, Result);
        {'DOWN', Mon, process, _, Reason} ->
            ended(Ref, Reason, Tag)
    after Timeout ->
        _ = erlang:demonitor(Mon, [flush]),
        end_it(Ref, Pid),
        timed_out(Ref, Tag)
    end.

%% Whoever ends by itself removes its row.  `noproc': it was killed before we looked.
ended(Ref, Reason, Tag) ->
    case {py_workers:find(Ref), last_look(Ref, Tag)} of
        {{_, _}, {error, {invalid, ref, Ref}}} ->
            ok = py_workers:remove(Ref),
            {error, {killed, Reason}};
        {_, Result} ->
            Result
    end.

%% It has ended, so its message is here, if there ever was one.
last_look(Ref, Tag) ->
    receive
        {Tag, Ref, Result} -> told(Ref, Result)
    after 0 ->
        {error, {invalid, ref, Ref}}
    end.

%% The answer may have come just now.
timed_out(Ref, Tag) ->
    receive
        {Tag, Ref, Result} -> told(Ref, Result)
    after 0 ->
        py_answer:timeout(none)
    end.

%% What the call's own process knows of its error is known here from now on.
told(Ref, {error, _} = Error) ->
    ok = py_answer:awaited(Error, py_stories:take(Ref)),
    Error;
told(_, Result) ->
    Result.

%% @doc End a call of this process: its message comes no more, and if it has come
%% it goes; the Python code is ended.
-spec cancel(reference()) -> ok.
cancel(Ref) ->
    _ = case py_workers:find(Ref) of
            {Pid, _} -> end_it(Ref, Pid);
            none -> ok
        end,
    receive
        {_, Ref, _} -> ok
    after 0 -> ok
    end.

end_it(Ref, Pid) ->
    _ = erlang:unalias(Ref),
    exit(Pid, kill),
    py_workers:remove(Ref).

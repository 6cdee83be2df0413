%% SPDX-License-Identifier: Apache-2.0
%% @doc What happens, told to whoever wants to hear: a user implements this
%% behaviour and attaches its module to events by their names.
%%
%% <dl>
%% <dt>`[terrarium, call, start]'</dt><dd>a request is about to be made.
%%   Measurements: `system_time' (native). Metadata: `context', `kind' (`call',
%%   `eval', `exec', `method', `getattr', `to_term', `info'), `what' (a binary, as
%%   in a crash report)</dd>
%% <dt>`[terrarium, call, stop]', `[terrarium, call, exception]'</dt><dd>it has
%%   ended well, or with an error. Measurements: `duration' (native). Metadata: the
%%   same, and `reason' for an error; `owner_died' where nobody is left to hear of
%%   it</dd>
%% <dt>`[terrarium, context, start | restart]'</dt><dd>a context has a helper, its
%%   first or another one. Measurements: `generation'. Metadata: `context', `id',
%%   `os_pid'</dd>
%% <dt>`[terrarium, context, crash]'</dt><dd>its helper has died. Measurements:
%%   `generation'. Metadata: the same, and `reason'</dd>
%% </dl>
%% A handler runs in the process in which the event happens (that of the caller, or
%% of the context), so it must be short.  One that fails is detached.
-module(py_events).

-export([attach/4, detach/1, attached/0]).
-export([mode/0, flags/0, around/5, context/4]).
-export([span/0, within/1]).
-export([keep/2, clear/0]).

-export_type([name/0, handler_id/0, mode/0]).

-include("../../port/py_wire.hrl").
-include_lib("kernel/include/logger.hrl").

-define(CALLS, py_events_calls).
-define(SPAN, '$py_span').
-define(HANDLERS, py_events_handlers).

-type name() :: [atom()].

-type handler_id() :: term().

-type handler() :: {handler_id(), [name()], module(), Config :: term()}.

-type mode() :: off | {Flags :: byte(), [handler()]}.
%% What is to be done about requests: frame flags, and who wants to hear.

-callback handle_event(name(), Measurements :: map(), Metadata :: map(), Config :: term()) ->
    term().

%%% For users

%% @doc From now on `Module:handle_event(Name, Measurements, Metadata, Config)' is
%% called for events of these names.
-spec attach(handler_id(), [name()], module(), term()) ->
    ok | {error, already_exists | not_started | {invalid, atom(), term()}}.
attach(Id, Names, Module, Config) when is_atom(Module), length(Names) >= 0 ->
    case [Name || Name <- Names, not lists:member(Name, names())] of
        [] -> ask({attach, {Id, Names, Module, Config}});
        [Name | _] -> {error, {invalid, event, Name}}
    end;
attach(_, Names, Module, _) when is_atom(Module) ->
    {error, {invalid, events, Names}};
attach(_, _, Module, _) ->
    {error, {invalid, module, Module}}.

%% @doc The end of that.
-spec detach(handler_id()) -> ok | {error, not_found | not_started}.
detach(Id) ->
    ask({detach, Id}).

%% @doc The handlers.
-spec attached() -> [handler()].
attached() ->
    persistent_term:get(?HANDLERS, []).

names() ->
    [[terrarium, call, What] || What <- [start, stop, exception]]
    ++ [[terrarium, context, What] || What <- [start, restart, crash]].

ask(Request) ->
    try
        gen_server:call(py_observer, Request, infinity)
    catch
        exit:_ -> {error, not_started}
    end.

%%% For py_observer, which alone changes them

%% @private These are the handlers now; spans are recorded, or not.
-spec keep([handler()], boolean()) -> ok.
keep(Handlers, Tracing) ->
    persistent_term:put(?HANDLERS, Handlers),
    Calls = [H || {_, Names, _, _} = H <- Handlers, lists:any(fun is_call/1, Names)],
    Mode = case {Tracing, Calls} of
               {false, []} -> off;
               {false, _} -> {0, Calls};
               {true, _} -> {?FLAG_TRACED, Calls}
           end,
    persistent_term:put(?CALLS, Mode).

is_call([_, call, _]) -> true;
is_call(_) -> false.

%% @private Nobody listens.
-spec clear() -> ok.
clear() ->
    _ = persistent_term:erase(?CALLS),
    _ = persistent_term:erase(?HANDLERS),
    ok.

%%% For those to whom it happens

%% @private What to do about requests.
-spec mode() -> mode().
mode() ->
    persistent_term:get(?CALLS, off).

%% @private The frame flags that a request has from it.
-spec flags() -> byte().
flags() ->
    case mode() of
        off -> 0;
        {Flags, _} -> Flags
    end.

%% @private The span that the calling process is in.
-spec span() -> binary() | undefined.
span() ->
    get(?SPAN).

%% @private From now on the calling process is in this span, as is the one for which it
%% works; what the one was in before.
-spec within(binary() | undefined) -> binary() | undefined.
within(undefined) -> erase(?SPAN);
within(Id) -> put(?SPAN, Id).

%% @private Make a request, with these frame flags, and tell of it.
-spec around(mode(), pid(), byte(), term(), fun((byte()) -> Result)) -> Result
    when Result :: {ok, term()} | {error, term()}.
around({Flags, []}, _, _, _, Run) ->
    Run(Flags);
around({Flags, Handlers}, Context, Opcode, Term, Run) ->
    Meta = #{context => Context, kind => kind(Opcode), what => what(Opcode, Term)},
    Begin = erlang:monotonic_time(),
    tell(Handlers, [terrarium, call, start], #{system_time => erlang:system_time()}, Meta),
    Ended = fun(Result) ->
                    Took = #{duration => erlang:monotonic_time() - Begin},
                    ended(Result, Handlers, Took, Meta)
            end,
    try Run(Flags) of
        Result ->
            ok = Ended(Result),
            Result
    catch
        throw:Why -> % nobody wants it any more
            ok = Ended({error, Why}),
            throw(Why)
    end;
around(off, _, _, _, Run) ->
    Run(0).

ended({ok, _}, Handlers, Took, Meta) ->
    tell(Handlers, [terrarium, call, stop], Took, Meta);
ended({error, Reason}, Handlers, Took, Meta) ->
    tell(Handlers, [terrarium, call, exception], Took, Meta#{reason => Reason}).

kind(?FRAME_CALL) -> call;
kind(?FRAME_EVAL) -> eval;
kind(?FRAME_EXEC) -> exec;
kind(?FRAME_METHOD) -> method;
kind(?FRAME_GETATTR) -> getattr;
kind(?FRAME_TO_TERM) -> to_term;
kind(?FRAME_INFO) -> info;
kind(_) -> other.

what(?FRAME_CALL, {M, F, A, _}) -> text([M, $:, F, $/, integer_to_list(length(A))]);
what(?FRAME_METHOD, {_, Name, A, _}) -> text([Name, $/, integer_to_list(length(A))]);
what(?FRAME_GETATTR, {_, Name}) -> Name;
what(Opcode, Code) when Opcode =:= ?FRAME_EVAL; Opcode =:= ?FRAME_EXEC ->
    start(element(1, Code));
what(_, _) -> <<>>.

text(Parts) -> iolist_to_binary(Parts).

start(Code) -> unicode:characters_to_binary(string:slice(Code, 0, 100)).

%% @private Something happened to the calling context.
-spec context(start | restart | crash, term(), non_neg_integer(), map()) -> ok.
context(What, Id, Generation, Meta) ->
    case attached() of
        [] -> ok;
        Handlers ->
            tell(Handlers, [terrarium, context, What], #{generation => Generation},
                 Meta#{context => self(), id => Id})
    end.

tell(Handlers, Name, Measurements, Meta) ->
    lists:foreach(fun({Id, Names, Module, Config}) ->
                          lists:member(Name, Names)
                              andalso run(Id, Module, Name, Measurements, Meta, Config)
                  end, Handlers).

run(Id, Module, Name, Measurements, Meta, Config) ->
    try
        Module:handle_event(Name, Measurements, Meta, Config)
    catch
        Class:Reason:Stack ->
            ?LOG_ERROR("Handler ~0tp of events failed and is detached: ~0tp",
                       [Id, {Class, Reason, Stack}]),
            %% Not from here: the one that detaches must never wait for us.
            _ = spawn(fun() -> detach(Id) end),
            ok
    end.
